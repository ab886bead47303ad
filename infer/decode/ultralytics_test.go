package decode

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var nameCases = []struct {
	in   string
	want []string
	err  string
}{
	{in: "{0: 'person', 1: 'traffic light'}", want: []string{"person", "traffic light"}},
	{in: "{1: 'b', 0: 'a'}", want: []string{"a", "b"}},
	{in: "['a', 'b',]", want: []string{"a", "b"}},
	{in: ` { 0 : "driver's" , } `, want: []string{"driver's"}},
	{in: `{0: 'it\'s', 1: 'back\\slash', 2: 'tab\t\x41\u00e9\U0001F600\q'}`, want: []string{"it's", `back\slash`, "tab\tAé😀\\q"}},
	{in: "{}", want: []string{}},
	{in: "[]", want: []string{}},
	{in: "", err: "neither a dict nor a list"},
	{in: "person", err: "neither"},
	{in: "{0: person}", err: "at byte 4: expected a quoted name"},
	{in: "{0: 'person'", err: "expected , or }"},
	{in: "{0: 'person", err: "a name has no end"},
	{in: `{0: 'person\`, err: "a name has no end"},
	{in: `{0: '\x4`, err: "a name has no end"},
	{in: `{0: '\xzz'}`, err: "not followed by a character's number"},
	{in: `{0: '\ud800'}`, err: "not followed by a character's number"},
	{in: "{0 'person'}", err: "a colon is missing"},
	{in: "{-1: 'person'}", err: "expected a class number"},
	{in: "{99999999999999999999: 'a'}", err: "expected a class number"},
	{in: "{0: 'a', 2: 'b'}", err: "none for class 1"},
	{in: "{0: 'a', 0: 'b'}", err: "class 0 twice"},
	{in: "['a' 'b']", err: "expected , or ]"},
	{in: "['a'] b", err: "text behind the end"},
	{in: "['\xff']", err: "not UTF-8"},
}

func TestParseNames(t *testing.T) {
	for _, tt := range nameCases {
		got, err := parseNames(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: got %q, %v, want error %q", tt.in, got, err, tt.err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestParseUltralytics(t *testing.T) {
	u, err := parseUltralytics(map[string]string{
		"task": "detect", "stride": "32", "imgsz": "[480, 640]", "names": "{0: 'a'}", "end2end": "True",
	})
	if err != nil || u.task != "detect" || u.stride != 32 || u.height != 480 || u.width != 640 || !u.end2end || len(u.names) != 1 {
		t.Errorf("got %+v, %v", u, err)
	}
	for key, bad := range map[string]string{"stride": "x", "imgsz": "640", "names": "{"} {
		if _, err := parseUltralytics(map[string]string{key: bad}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %q: got %v", key, bad, err)
		}
	}
}

func FuzzParseNames(f *testing.F) {
	for _, tt := range nameCases {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		names, err := parseNames(s)
		if err != nil {
			return
		}
		for _, n := range names {
			if !utf8.ValidString(n) {
				t.Errorf("%q gave %q, which is not UTF-8", s, n)
			}
		}
		if len(names) > len(s) {
			t.Errorf("%d names out of %d bytes", len(names), len(s))
		}
	})
}
