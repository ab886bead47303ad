package configs

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// DefaultModel is the model of a configuration that names none.
const DefaultModel = "yolox-nano"

// Default is the configuration of an empty file. It lacks cameras, so it is
// not a valid one.
func Default() Config {
	const gib = Size(1 << 30)
	hours := func(n int) Duration { return Duration(time.Duration(n) * time.Hour) }
	return Config{
		Site: "local",
		Bus: Bus{
			Listen: "127.0.0.1:4222", Store: "./vedette-data", MaxStore: 10 * gib, Sync: Sync(time.Second), Prefix: vedette.DefaultPrefix,
		},
		HTTP:   HTTP{Listen: "127.0.0.1:8080"},
		Models: []Model{defaultModel(DefaultModel)},
		Retention: Retention{
			Detections: Limit{Age: hours(24), Bytes: 2 * gib},
			Events:     Limit{Age: hours(720), Bytes: 2 * gib},
			Results:    Limit{Age: hours(8760), Bytes: 5 * gib},
			Snapshots:  Limit{Age: hours(720), Bytes: 5 * gib},
		},
	}
}

func defaultModel(name string) Model {
	m := Model{Name: name}
	m.SetDefaults()
	return m
}

// SetDefaults sets what a model's entry may leave out.
func (m *Model) SetDefaults() {
	m.Engine, m.Device, m.Weight = EngineAuto, "auto", 1
	m.Batch.MaxWait = Duration(5 * time.Millisecond)
}

// SetDefaults sets what a camera's entry may leave out.
func (c *Camera) SetDefaults() {
	seconds := func(s float64) Duration { return Duration(s * float64(time.Second)) }
	c.Delivery, c.Transport, c.Decode = Latest, TCP, DecodeSoftware
	c.Motion = Motion{Threshold: 16, MinArea: 0.0006, Hold: seconds(3), Adapt: seconds(10)}
	c.Fitness = Fitness{Black: 14, Covered: 4, Blurred: 0.24, Settle: seconds(1), Frozen: seconds(2.5)}
	c.Timeouts = Timeouts{Open: seconds(8), FirstFrame: seconds(15), Silence: seconds(3)}
}

// Options are what reading depends on besides the file.
type Options struct {
	// Env looks up an environment variable; nil means [os.LookupEnv].
	Env func(name string) (string, bool)
	// Source, which may be nil, checks a camera's source. Its error must not
	// repeat secrets.
	Source func(source string) error
}

// Load reads and checks a configuration file. The error lists everything that
// is wrong with it, one a line, and shows no value that came from the
// environment.
func Load(path string, opts Options) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, opts)
}

// Parse is [Load] for a file's content; file is the name to use in errors.
func Parse(file string, data []byte, opts Options) (Config, error) {
	c, doc := parse(file, data, opts)
	if err := doc.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// LoadBus reads and checks what a file says of the bus. What is wrong elsewhere,
// such as a camera's password that this environment does not have, does not
// matter to who only wants to reach the bus.
func LoadBus(path string) (Bus, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Bus{}, fmt.Errorf("read configuration: %w", err)
	}
	c, doc := parse(path, data, Options{})
	var all, ours strictyaml.Problems
	if err := doc.Err(); doc.Broken() || !errors.As(err, &all) {
		return c.Bus, err
	}
	for _, p := range all {
		if p.Path == "bus" || strings.HasPrefix(p.Path, "bus.") {
			ours = append(ours, p)
		}
	}
	if len(ours) > 0 {
		return Bus{}, ours
	}
	return c.Bus, nil
}

func parse(file string, data []byte, opts Options) (Config, *strictyaml.Doc) {
	if opts.Env == nil {
		opts.Env = os.LookupEnv
	}
	c := Default()
	doc := strictyaml.Decode(file, data, &c, func(s string) (string, error) { return expand(s, opts.Env) })
	if !doc.Broken() {
		v := validator{doc: doc, opts: opts, shown: map[string]string{}}
		v.config(&c)
	}
	return c, doc
}

// variable is ${NAME}; the first $ of $${ keeps it as it is.
var variable = regexp.MustCompile(`\$?\$\{[^}]*\}?`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} by the environment's variables. The values are not
// looked at again, so they may hold ${.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var errs []error
	out := variable.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name, closed := strings.CutSuffix(strings.TrimPrefix(m, "${"), "}")
		if !closed || !variableName.MatchString(name) {
			errs = append(errs, errors.New("${ must be followed by the name of an environment variable and }; write $${ for a plain ${"))
			return ""
		}
		value, ok := env(name)
		if !ok {
			errs = append(errs, fmt.Errorf("the environment variable %s is not set", name))
		}
		return value
	})
	if len(errs) > 0 {
		return "", errs[0]
	}
	return out, nil
}
