package configs

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// validator adds what is wrong with a configuration to its file's problems. It
// shows values only as the file has them, so that nothing from the environment
// gets into an error.
type validator struct {
	doc  *strictyaml.Doc
	opts Options
	// shown is how the file writes the names of models.
	shown map[string]string
}

// names are those of models as the file writes them.
func (v validator) names(models []string) []string {
	var names []string
	for _, m := range models {
		if !slices.Contains(names, v.shown[m]) {
			names = append(names, v.shown[m])
		}
	}
	return names
}

func (v validator) bad(path, format string, args ...any) { v.doc.Add(path, format, args...) }

// got is the value at path as the file has it.
func (v validator) got(path string) string {
	raw, ok := v.doc.Raw(path)
	if !ok {
		return ""
	}
	return " (got " + strictyaml.Quote(raw) + ")"
}

// failed reports whether the value at path could not be read at all, which was
// then reported.
func (v validator) failed(path string) bool { return v.doc.Failed(path) }

func (v validator) config(c *Config) {
	v.id("site", c.Site)
	v.bus(c.Bus)
	v.address("http.listen", c.HTTP.Listen)
	if c.HTTP.Listen != "" && c.Bus.URL == "" && c.HTTP.Listen == c.Bus.Listen && !strings.HasSuffix(c.HTTP.Listen, ":0") {
		v.bad("http.listen", "is the same address as bus.listen%s", v.got("http.listen"))
	}
	names := v.models(c.Models)
	if len(c.Cameras) == 0 && !v.failed("cameras") {
		v.bad("cameras", "give at least one camera, for example: [{id: test, source: synthetic://bars}]")
	}
	ids := map[string]string{}
	for i := range c.Cameras {
		path := fmt.Sprintf("cameras[%d]", i)
		if !v.failed(path) {
			v.camera(path, &c.Cameras[i], names, ids)
		}
	}
	for _, l := range []struct {
		path  string
		limit Limit
	}{
		{"retention.detections", c.Retention.Detections}, {"retention.events", c.Retention.Events},
		{"retention.results", c.Retention.Results}, {"retention.snapshots", c.Retention.Snapshots},
	} {
		v.span(l.path+".age", l.limit.Age, time.Minute, 100*365*24*time.Hour)
		v.size(l.path+".bytes", l.limit.Bytes, 1<<20)
		v.whole(l.path+".replicas", l.limit.Replicas, 0, 5)
	}
	const kept = "retention.detections.bytes"
	if c.Bus.URL == "" && c.Retention.Detections.Bytes > c.Bus.MaxStore && !v.failed(kept) && !v.failed("bus.max_store") && !v.failed("bus.url") {
		v.bad(kept, "must be at most bus.max_store, which is %s%s", c.Bus.MaxStore, v.got(kept))
	}
	if c.Bus.URL == "" && v.doc.Has("bus.spool") && c.Bus.Spool > c.Bus.MaxStore && !v.failed("bus.spool") && !v.failed("bus.max_store") {
		v.bad("bus.spool", "must be at most bus.max_store, which is %s%s", c.Bus.MaxStore, v.got("bus.spool"))
	}
	if len(c.Sinks) > 0 {
		v.bad("sinks", "there are no sinks yet; leave the list empty and subscribe to the bus instead")
	}
}

func (v validator) id(path, id string) {
	if v.failed(path) {
		return
	}
	switch err := vedette.CheckID(id); {
	case id == "":
		v.bad(path, "is missing; allowed are a-z, 0-9, _ and -")
	case err != nil:
		v.bad(path, "must be 1 to 64 characters of a-z, 0-9, _ and -%s", v.got(path))
	}
}

// address checks host:port; empty means that nothing listens.
func (v validator) address(path, address string) {
	if address == "" || v.failed(path) {
		return
	}
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.Atoi(port)
	ip := net.ParseIP(host)
	switch {
	case err != nil || portErr != nil || n < 0 || n > 65535 || (ip == nil && host != "" && host != "localhost"):
		v.bad(path, "must be address:port such as 127.0.0.1:4222, or empty%s", v.got(path))
	}
}

func (v validator) models(models []Model) []string {
	if len(models) == 0 && !v.failed("models") {
		v.bad("models", "give at least one model, or leave the key out for %s", DefaultModel)
	}
	var names []string
	first := map[string]string{}
	for i, m := range models {
		path := fmt.Sprintf("models[%d]", i)
		if v.failed(path) {
			continue
		}
		v.id(path+".name", m.Name)
		v.twice(path+".name", m.Name, first)
		names = append(names, m.Name)
		v.shown[m.Name] = m.Name
		if raw, ok := v.doc.Raw(path + ".name"); ok {
			v.shown[m.Name] = raw
		}
		if !v.failed(path+".device") && !devices.MatchString(m.Device) {
			v.bad(path+".device", "must be auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N or openvino%s", v.got(path+".device"))
		}
		v.whole(path+".workers", m.Workers, 0, 256)
		v.whole(path+".threads", m.Threads, 0, 256)
		if m.Timeout != 0 {
			v.span(path+".timeout", m.Timeout, time.Millisecond, time.Hour)
		}
		v.number(path+".weight", m.Weight, 0.01, 100)
		v.batch(path+".batch", m.Batch)
		if m.GPUMemory != 0 {
			v.size(path+".gpu_memory", m.GPUMemory, 64<<20)
		}
	}
	return names
}

// maxBatch is far above what any GPU gains by.
const maxBatch = 256

func (v validator) batch(path string, b Batch) {
	v.span(path+".max_wait", b.MaxWait, 100*time.Microsecond, time.Second)
	if v.failed(path + ".sizes") {
		return
	}
	last := 0
	for i, n := range b.Sizes {
		at := fmt.Sprintf("%s.sizes[%d]", path, i)
		if v.failed(at) {
			return
		}
		v.whole(at, n, 1, maxBatch)
		if i > 0 && n <= last {
			v.bad(at, "must be more than the one before%s", v.got(at))
		}
		last = n
	}
}

var devices = regexp.MustCompile(`^(auto|cpu|openvino|(cuda|tensorrt)(:[0-9]{1,2})?)$`)

// twice reports a name that another entry of the list has; first holds the
// paths of those seen.
func (v validator) twice(path, name string, first map[string]string) {
	if name == "" {
		return
	}
	if other, ok := first[name]; ok {
		v.bad(path, "is the same as %s%s", other, v.got(path))
		return
	}
	first[name] = path
}

func (v validator) camera(path string, c *Camera, models []string, ids map[string]string) {
	v.id(path+".id", c.ID)
	v.twice(path+".id", c.ID, ids)
	if !v.failed(path + ".source") {
		switch {
		case c.Source == "":
			v.bad(path+".source", "is missing; give an URL, a file, a folder or a device number")
		case v.opts.Source != nil:
			if err := v.opts.Source(c.Source); err != nil {
				v.bad(path+".source", "%v", err)
			}
		}
	}
	v.detects(path, c, models)
	m := c.Motion
	v.number(path+".motion.threshold", m.Threshold, 1, 254)
	v.number(path+".motion.min_area", m.MinArea, 0, 0.99)
	v.span(path+".motion.hold", m.Hold, 0, time.Hour)
	v.span(path+".motion.adapt", m.Adapt, 100*time.Millisecond, 24*time.Hour)
	f := c.Fitness
	v.number(path+".fitness.black", f.Black, 0, 254)
	v.number(path+".fitness.covered", f.Covered, 0, 254)
	v.number(path+".fitness.blurred", f.Blurred, 0, 0.99)
	v.span(path+".fitness.settle", f.Settle, 0, time.Hour)
	v.span(path+".fitness.frozen", f.Frozen, 0, time.Hour)
	if c.Capture.Memory != 0 {
		v.size(path+".capture.memory", c.Capture.Memory, 64<<20)
	}
	if c.Capture.Ring != 0 {
		v.size(path+".capture.ring", c.Capture.Ring, 1<<20)
	}
	if c.Capture.CPU != 0 {
		v.number(path+".capture.cpu", c.Capture.CPU, 0.1, 1024)
	}
	t := c.Timeouts
	v.span(path+".timeouts.open", t.Open, 100*time.Millisecond, 5*time.Minute)
	v.span(path+".timeouts.first_frame", t.FirstFrame, 100*time.Millisecond, 5*time.Minute)
	v.span(path+".timeouts.silence", t.Silence, 100*time.Millisecond, 5*time.Minute)
}

// detects checks what a camera looks for and fills in the only model.
func (v validator) detects(path string, c *Camera, models []string) {
	if v.failed(path + ".detect") {
		return
	}
	if len(c.Detect) == 0 {
		if len(models) > 1 {
			v.bad(path+".detect", "say with which model: %s", strings.Join(v.names(models), ", "))
			return
		}
		c.Detect = []Detect{{}}
	}
	used := map[string]string{}
	for i := range c.Detect {
		d := &c.Detect[i]
		at := fmt.Sprintf("%s.detect[%d]", path, i)
		if v.failed(at) {
			continue
		}
		v.model(at+".model", d, models)
		v.twice(at+".model", d.Model, used)
		v.number(at+".fps", d.FPS, 0, 240)
		v.number(at+".min_score", d.MinScore, 0, 1)
		for k, l := range d.Labels {
			if path := fmt.Sprintf("%s.labels[%d]", at, k); l == "" && !v.failed(path) {
				v.bad(path, "is empty")
			}
		}
	}
}

func (v validator) model(path string, d *Detect, models []string) {
	if v.failed(path) || len(models) == 0 { // reported where the models are
		return
	}
	if d.Model == "" {
		if len(models) > 1 {
			v.bad(path, "is missing; models has %s", strings.Join(v.names(models), ", "))
			return
		}
		d.Model = models[0]
		return
	}
	for _, name := range models {
		if name == d.Model {
			return
		}
	}
	if !v.doc.Has("models") {
		v.bad(path, "there is no such model%s: list it under models; where that is left out there is %s alone", v.got(path), DefaultModel)
		return
	}
	v.bad(path, "there is no such model%s%s; models has %s", v.got(path), strictyaml.DidYouMean(d.Model, v.names(models)), strings.Join(v.names(models), ", "))
}

func (v validator) whole(path string, n, low, high int) {
	if !v.failed(path) && (n < low || n > high) {
		v.bad(path, "must be %d to %d%s", low, high, v.got(path))
	}
}

func (v validator) number(path string, n, low, high float64) {
	if !v.failed(path) && !(n >= low && n <= high) {
		v.bad(path, "must be %v to %v%s", low, high, v.got(path))
	}
}

func (v validator) span(path string, d Duration, low, high time.Duration) {
	if !v.failed(path) && (time.Duration(d) < low || time.Duration(d) > high) {
		v.bad(path, "must be %s to %s%s", plain(low), plain(high), v.got(path))
	}
}

func (v validator) size(path string, s, low Size) {
	if !v.failed(path) && s < low {
		v.bad(path, "must be at least %s%s", low, v.got(path))
	}
}

// plain writes a span without the zeros that Go adds: 1h, not 1h0m0s.
func plain(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		return strings.TrimSuffix(s, "0m")
	}
	if s == "" || !strings.ContainsAny(s[len(s)-1:], "smh") {
		return d.String()
	}
	return s
}
