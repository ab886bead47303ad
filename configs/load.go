package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// DefaultModel is the model of a configuration that names none: it is part of
// the program, so that such a configuration starts on any machine.
const DefaultModel = "pcb-defects"

// Default is the configuration of an empty file. It lacks cameras, so it is
// not a valid one.
func Default() Config {
	const gib = Size(1 << 30)
	hours := func(n int) Duration { return Duration(time.Duration(n) * time.Hour) }
	return Config{
		Site: "local",
		Bus: Bus{
			Listen: "127.0.0.1:4222", Store: "./vedette-data", MaxStore: 10 * gib, Spool: 4 * gib, Sync: Sync(time.Second), Prefix: vedette.DefaultPrefix,
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
	// Elsewhere says that the configuration is for another environment: values with
	// a variable that this one does not have are not looked at, and are left out.
	Elsewhere bool
	// Dir is the folder at which relative paths of models, sources, certificates
	// and keys begin, if they are not there only from the working directory; empty:
	// the working directory. [Load] sets it to that of the file.
	Dir string
	// Local says whether a camera's source is a path, or else nothing is done to it.
	Local func(source string) bool
	// Source, which may be nil, checks a camera's source. Its error must not
	// repeat secrets.
	Source func(source string) error
	// Check, which may be nil, looks at what only the caller can know, such as
	// whether a model's file is there. It is called once with what could be
	// read of the file, also when something else is wrong with it, so that
	// everything is reported at once.
	Check func(c *Config, r Report)

	unset map[string]bool // takes what is said of variables that are not set
}

// Report takes what [Options].Check finds. Paths are those of keys, such as
// "cameras[0].detect[1].model".
type Report struct{ v validator }

// Bad reports what is wrong with the value at path and what is allowed.
func (r Report) Bad(path, format string, args ...any) { r.v.bad(path, format, args...) }

// At is the place of the value at path, for what turns out to be wrong with it
// later.
func (r Report) At(path string) strictyaml.Problem { return r.v.doc.At(path) }

// Failed reports whether something is wrong with the value at path, or one
// around it, already: then it need not be looked at.
func (r Report) Failed(path string) bool { return r.v.failed(path) }

// Has reports whether the file gives the key at path a value.
func (r Report) Has(path string) bool { return r.v.doc.Has(path) }

// IdleRetention lists the keys of retention that the file has and that keep
// nothing, since there is no such stream yet.
func (r Report) IdleRetention() []string {
	var idle []string
	for _, kind := range []string{"events", "results", "snapshots"} {
		if path := "retention." + kind; r.Has(path) {
			idle = append(idle, path)
		}
	}
	return idle
}

// Raw is the text of the value at path as the file has it, before expansion; empty
// if it has none.
func (r Report) Raw(path string) string {
	raw, _ := r.v.doc.Raw(path)
	return raw
}

// Got is " (got …)" with the value as the file writes it, which shows nothing
// that came from the environment; empty if the file has none.
func (r Report) Got(path string) string { return r.v.got(path) }

// Load reads and checks a configuration file. The error lists everything that
// is wrong with it, one a line, and shows no value that came from the
// environment.
func Load(path string, opts Options) (Config, error) {
	data, err := Read(path)
	if err != nil {
		return Config{}, err
	}
	if opts.Dir == "" {
		opts.Dir = filepath.Dir(path)
	}
	return Parse(path, data, opts)
}

// Read reads a configuration file and does not look at what it says.
func Read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// Parse is [Load] for a file's content; file is the name to use in errors.
func Parse(file string, data []byte, opts Options) (Config, error) {
	unset := map[string]bool{}
	if opts.Elsewhere {
		opts.unset = unset
	}
	c, doc := parse(file, data, opts)
	err := doc.Err()
	var all strictyaml.Problems
	if errors.As(err, &all) {
		all = slices.DeleteFunc(all, func(p strictyaml.Problem) bool { return unset[p.Text] })
		if len(all) == 0 {
			return c, nil
		}
		err = all
	}
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

// LoadBus reads and checks what a file says of the bus. What is wrong elsewhere,
// such as a camera's password that this environment does not have, does not
// matter to who only wants to reach the bus.
func LoadBus(path string) (Bus, error) {
	data, err := Read(path)
	if err != nil {
		return Bus{}, err
	}
	c, doc := parse(path, data, Options{Dir: filepath.Dir(path)})
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
	doc := strictyaml.Decode(file, data, &c, func(s string) (string, error) {
		text, err := expand(s, opts.Env)
		if opts.unset != nil && errors.Is(err, errUnset) {
			opts.unset[err.Error()] = true
		}
		return text, err
	})
	if !doc.Broken() {
		c.resolve(opts)
		v := validator{doc: doc, opts: opts, shown: map[string]string{}}
		v.config(&c)
		if opts.Check != nil {
			opts.Check(&c, Report{v})
		}
	}
	return c, doc
}

// variable is ${NAME}; the first $ of $${ keeps it as it is.
var variable = regexp.MustCompile(`\$?\$\{[^}]*\}?`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// errUnset says that a variable is not set; unsetError says which.
var errUnset = errors.New("a variable is not set")

type unsetError string

func (e unsetError) Error() string      { return string(e) }
func (unsetError) Is(target error) bool { return target == errUnset }

// expand replaces ${NAME} by the environment's variables. The values are not
// looked at again, so they may hold ${.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var unset []string
	garbled := false
	out := variable.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name, closed := strings.CutSuffix(strings.TrimPrefix(m, "${"), "}")
		if !closed || !variableName.MatchString(name) {
			garbled = true
			return ""
		}
		value, ok := env(name)
		if !ok && !slices.Contains(unset, name) {
			unset = append(unset, name)
		}
		return value
	})
	switch {
	case garbled:
		return "", errors.New("${ must be followed by the name of an environment variable and }; write $${ for a plain ${")
	case len(unset) == 1:
		return "", unsetError("the environment variable " + unset[0] + " is not set")
	case len(unset) > 1:
		return "", unsetError("the environment variables " + strings.Join(unset, ", ") + " are not set")
	}
	return out, nil
}
