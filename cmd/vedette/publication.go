package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
)

// publication is a configuration that is put on the bus, for others to use.
type publication struct {
	file string
	text []byte
	configReader
}

// newPublication reads and checks a configuration. What depends on variables that
// are not set here is left to who uses it.
func newPublication(file string) (*publication, error) {
	text, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	p := &publication{file: file, text: text, configReader: configReader{overBus: true, elsewhere: true}}
	p.also = refuseSecrets
	if _, err := p.parse(file, text); err != nil {
		return nil, err
	}
	return p, nil
}

// put puts it on the bus, its models first. Without one it does nothing.
func (p *publication) put(ctx context.Context, b *bus.Bus) (revision uint64, err error) {
	if p == nil {
		return 0, nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.loaded)) {
		if err := pipeline.OfferModel(ctx, b, name, p.loaded[name]); err != nil {
			return 0, fmt.Errorf("model %s: %w", name, err)
		}
	}
	if revision, err = b.PutConfiguration(ctx, p.text); err != nil {
		return 0, err
	}
	tell("%s is on the bus, as revision %d", p.file, revision)
	return revision, nil
}

// refuseSecrets reports passwords that are in the file in clear: everybody who may
// read the bucket, or its store, would see them.
func refuseSecrets(c *configs.Config, r configs.Report) {
	const way = "a password in clear does not belong on the bus: write ${NAME}, which each host looks up in its own environment"
	if secretIn(r.Raw("bus.password")) {
		r.Bad("bus.password", way)
	}
	paths := []string{"bus.url", "bus.hub.url"}
	for i := range c.Cameras {
		paths = append(paths, fmt.Sprintf("cameras[%d].source", i))
	}
	for _, path := range paths {
		if secretIn(passwordOf(r.Raw(path))) {
			r.Bad(path, way)
		} else if text := withoutLogin(r.Raw(path)); strings.HasPrefix(path, "cameras") && ingest.Redact(text) != text {
			tell("note: %s may hold a secret in clear; if so write ${NAME}", path)
		}
	}
}

var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// secretIn reports whether there is more in a password than variables.
func secretIn(password string) bool { return variable.ReplaceAllString(password, "") != "" }

// withoutLogin is an address without what was looked at already.
func withoutLogin(address string) string {
	address = variable.ReplaceAllString(address, "")
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	return scheme + "://" + rest[strings.LastIndex(rest, "@")+1:]
}

// passwordOf is the password in an address, as it is written. One that has / or @ in
// it is no valid address, and a password all the same.
func passwordOf(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	at := strings.LastIndex(rest, "@")
	if !ok || at < 0 {
		return ""
	}
	_, password, _ := strings.Cut(rest[:at], ":")
	return password
}
