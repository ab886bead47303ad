package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/internal/strictyaml"
)

type mode string

func (mode) Values() []string { return []string{"latest", "every"} }

// span is a duration that is read from text.
type span time.Duration

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return errors.New("must be a duration such as 5s")
	}
	*s = span(d)
	return nil
}

type item struct {
	ID   string   `yaml:"id"`
	FPS  float64  `yaml:"fps"`
	Mode mode     `yaml:"mode"`
	Tags []string `yaml:"tags"`
	Wait span     `yaml:"wait"`
}

func (i *item) SetDefaults() { i.FPS = 5 }

type root struct {
	Site  string            `yaml:"site"`
	On    bool              `yaml:"on"`
	Count int               `yaml:"count"`
	Limit *int              `yaml:"limit"`
	Items []item            `yaml:"items"`
	Env   map[string]string `yaml:"env"`
	Inner struct {
		A int `yaml:"a"`
		B int `yaml:"b"`
	} `yaml:"inner"`
	//lint:ignore U1000 shows that unexported fields are no keys
	hidden string
}

func decode(text string) (root, *strictyaml.Doc) {
	var r root
	r.Inner.B = 9
	d := strictyaml.Decode("f.yaml", []byte(text), &r, func(s string) (string, error) {
		if s == "${NONE}" {
			return "", errors.New("the variable NONE is not set")
		}
		return strings.ReplaceAll(s, "${PASSWORD}", "hunter2"), nil
	})
	return r, d
}

func TestDecode(t *testing.T) {
	three := 3
	inner := func(a, b int) (r root) {
		r.Inner.A, r.Inner.B = a, b
		return r
	}
	tests := []struct {
		name, text string
		want       root
	}{
		{"empty", "# nothing\n", inner(0, 9)},
		{"a mapping keeps what it does not name", "inner: {a: 1}\n", inner(1, 9)},
		{"empty values of lists and mappings", "items:\ninner:\nenv:\n", inner(0, 9)},
		{"elements have defaults", "items: [{id: a}, {id: b, fps: 2.5}]\n", func() root {
			r := inner(0, 9)
			r.Items = []item{{ID: "a", FPS: 5}, {ID: "b", FPS: 2.5}}
			return r
		}()},
		{"types", "site: 12\non: true\ncount: -4\nlimit: 3\nitems:\n  - mode: every\n    tags: [no, 007, \"x: y\"]\n    wait: 1m30s\nenv: {a: b}\n", func() root {
			r := inner(0, 9)
			r.Site, r.On, r.Count, r.Limit = "12", true, -4, &three
			r.Items = []item{{FPS: 5, Mode: "every", Tags: []string{"no", "007", "x: y"}, Wait: span(90 * time.Second)}}
			r.Env = map[string]string{"a": "b"}
			return r
		}()},
		{"anchors and merge keys", "items:\n  - &base {id: a, fps: 1, mode: every}\n  - <<: *base\n    id: b\n  - *base\n", func() root {
			r := inner(0, 9)
			r.Items = []item{{ID: "a", FPS: 1, Mode: "every"}, {ID: "b", FPS: 1, Mode: "every"}, {ID: "a", FPS: 1, Mode: "every"}}
			return r
		}()},
		{"expansion", "site: a-${PASSWORD}\nitems: [{tags: [\"${PASSWORD}\"]}]\n", func() root {
			r := inner(0, 9)
			r.Site = "a-hunter2"
			r.Items = []item{{FPS: 5, Tags: []string{"hunter2"}}}
			return r
		}()},
		{"block text", "site: |\n  two\n  lines\n", func() root {
			r := inner(0, 9)
			r.Site = "two\nlines\n"
			return r
		}()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, d := decode(tt.text)
			if err := d.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(root{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeProblems(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown keys", "sites: a\nitems:\n  - idd: x\n    zzzzzz: 1\n",
			`f.yaml:1:1: sites: unknown key; did you mean "site"?; allowed: site, on, count, limit, items, env, inner
f.yaml:3:5: items[0].idd: unknown key; did you mean "id"?; allowed: id, fps, mode, tags, wait
f.yaml:4:5: items[0].zzzzzz: unknown key; allowed: id, fps, mode, tags, wait`},
		{"types", "site: [a]\non: yes\ncount: 1.5\nitems: {a: b}\nenv: 3\ninner: [1]\n",
			`f.yaml:1:7: site: must be text (got a list)
f.yaml:2:5: on: must be true or false (got "yes")
f.yaml:3:8: count: must be a whole number (got "1.5")
f.yaml:4:9: items: must be a list (got keys)
f.yaml:5:6: env: must have keys (key: value) (got "3")
f.yaml:6:8: inner: must have keys (key: value) (got a list)`},
		{"elements", "items:\n  - mode: lastest\n    fps: .nan\n    wait: soon\n  - 4\n",
			`f.yaml:2:11: items[0].mode: must be latest or every (got "lastest"); did you mean "latest"?
f.yaml:3:10: items[0].fps: must be a number (got ".nan")
f.yaml:4:11: items[0].wait: must be a duration such as 5s (got "soon")
f.yaml:5:5: items[1]: must have keys (key: value) (got "4")`},
		{"no value", "site:\ncount: ~\n", "f.yaml:1:6: site: has no value\nf.yaml:2:8: count: has no value"},
		{"twice", "site: a\non: true\nsite: b\n", "f.yaml:3:1: site: is given twice, first in line 1"},
		{"expansion fails, secrets stay out", "site: ${NONE}\ncount: ${PASSWORD}\n",
			"f.yaml:1:7: site: the variable NONE is not set\nf.yaml:2:8: count: must be a whole number (got \"${PASSWORD}\")"},
		{"passwords stay out", "site:rtsp://u:hunter2@h\n", `f.yaml:1:1: must have keys (key: value) (got "site:rtsp://…")`},
		{"passwords in keys", "items: [{\"rtsp://u:hunter2@h/x\": 1}]\n", "f.yaml:1:10: items[0].rtsp://…: unknown key; allowed: id, fps, mode, tags, wait"},
		{"no such anchor", "site: *a\n", "f.yaml:1:7: site: there is no anchor &a"},
		{"tag", "site: !!str a\n", "f.yaml:1:7: site: tags such as !!str are not supported"},
		{"two documents", "site: a\n---\nsite: b\n", "f.yaml: more than one YAML document in the file"},
		{"not keys", "just text\n", `f.yaml:1:1: must have keys (key: value) (got "just text")`},
		{"binary", "a\x00b", "f.yaml: not a text file: byte 1 is zero"},
		{"deep", strings.Repeat("[", 300), "f.yaml: brackets nested more than 200 deep"},
		{"long line", "site: " + strings.Repeat("x", 1<<17), "f.yaml: a line is longer than 16384 bytes"},
		{"large", strings.Repeat("# a comment\n", 1<<17), "f.yaml: larger than 1 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, d := decode(tt.text)
			err := d.Err()
			if err == nil {
				t.Fatal("it was read")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestHostile reads what makes naive readers run for ever or out of stack.
func TestHostile(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 8), i-1)
	}
	lists := "env: {k: v}\nitems: &a [{tags: [a]}]\n"
	steps := ""
	for i := range 300 {
		steps += strings.Repeat(" ", i) + "a:\n"
	}
	for name, text := range map[string]string{
		"aliases of aliases": bomb + "items: *a11\n",
		"self reference":     "items: &a [*a]\n",
		"merges of itself":   "inner: &a\n  <<: *a\n  <<: *a\n  a: 1\n",
		"dashes":             strings.Repeat("- ", 8_000),
		"questions":          strings.Repeat("? ", 8_000),
		"anchors":            "site: " + strings.Repeat("&a ", 5_000) + "x",
		"tags":               "site: " + strings.Repeat("!a ", 5_000) + "x",
		"keys in a line":     strings.Repeat("a: ", 5_000) + "x",
		"steps":              steps,
		"quotes":             strings.Repeat("\"", 16_000),
		"lists":              lists + strings.Repeat("x: *a\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			_, d := decode(text)
			if d.Err() == nil {
				t.Error("it was read")
			}
		})
	}
}

func TestDocAddPlaces(t *testing.T) {
	_, d := decode("site: a\nitems:\n  - id: x\n")
	d.Add("items[0].id", "is bad")
	d.Add("items[0].fps", "is missing")
	d.Add("count", "is nowhere")
	want := "f.yaml:1:1: count: is nowhere\nf.yaml:3:5: items[0].fps: is missing\nf.yaml:3:9: items[0].id: is bad"
	if diff := cmp.Diff(want, d.Err().Error()); diff != "" {
		t.Error(diff)
	}
	if raw, ok := d.Raw("items[0].id"); raw != "x" || !ok {
		t.Errorf("raw is %q", raw)
	}
	if _, ok := d.Raw("items"); ok || d.Has("items[1]") || !d.Has("items[0]") {
		t.Error("Has or Raw is wrong")
	}
}

func TestManyProblems(t *testing.T) {
	var b strings.Builder
	for i := range 70 {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	_, d := decode(b.String())
	if lines := strings.Split(d.Err().Error(), "\n"); len(lines) != 51 || lines[50] != "and 20 more problems" {
		t.Errorf("%d lines, last %q", len(lines), lines[len(lines)-1])
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"source", "delivery", "fps", "id"}
	for given, want := range map[string]string{
		"sorce": "source", "Delivery": "delivery", "fsp": "fps", "idd": "id", "x": "", "completely": "", "": "",
	} {
		got := strictyaml.DidYouMean(given, known)
		if (want == "" && got != "") || (want != "" && got != `; did you mean "`+want+`"?`) {
			t.Errorf("%q: %q", given, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("site: a\nitems: [{id: x, tags: [a]}]\n")
	f.Add("a: &a {b: *a}\n<<: *a\n")
	f.Add("site: |\n  x\n? y\n: !!z w\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, d := decode(text)
		if err := d.Err(); err != nil && err.Error() == "" {
			t.Error("an error without text")
		}
	})
}
