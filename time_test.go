package vedette_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
)

func TestTimeJSON(t *testing.T) {
	for in, want := range map[string]string{
		`"2026-11-23T22:47:01.123456Z"`:    `"2026-11-23T22:47:01.123456Z"`,
		`"2026-11-23T22:47:01Z"`:           `"2026-11-23T22:47:01.000000Z"`,
		`"2026-11-23T23:47:01.5+01:00"`:    `"2026-11-23T22:47:01.500000Z"`,
		`"2026-11-23T22:47:01.123456789Z"`: `"2026-11-23T22:47:01.123456Z"`,
		`"0001-01-01T00:00:00Z"`:           `"0001-01-01T00:00:00.000000Z"`,
	} {
		var v vedette.Time
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{`""`, `"x"`, `1`, `{}`, `"2026-11-23"`, `"2026-11-23 22:47:01Z"`, `"9999-12-31T23:59:59-01:00"`, `"0000-01-01T00:00:00+01:00"`} {
		var v vedette.Time
		if err := json.Unmarshal([]byte(in), &v); err == nil {
			t.Errorf("%s gave %s", in, v)
		}
	}
}

func FuzzTimeJSON(f *testing.F) {
	for _, s := range []string{`"2026-11-23T22:47:01.123456Z"`, `"2026-11-23T23:47:01.5+01:00"`, `"9999-12-31T23:59:59-01:00"`, `null`, `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var first, second vedette.Time
		if first.UnmarshalJSON(in) != nil {
			return
		}
		out, err := first.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := second.UnmarshalJSON(out); err != nil || !second.Equal(first.Time) {
			t.Fatalf("%s became %s and was read as %s, %v", in, out, second, err)
		}
	})
}

func TestAtAndMillis(t *testing.T) {
	at := vedette.At(time.Date(2026, 11, 23, 23, 47, 1, 123456789, time.FixedZone("CET", 3600)))
	if got, want := at.String(), "2026-11-23T22:47:01.123456Z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for d, want := range map[time.Duration]float64{0: 0, time.Millisecond: 1, 1234567: 1.235, -time.Millisecond: -1} {
		if got := vedette.Millis(d); got != want {
			t.Errorf("%v: %v, want %v", d, got, want)
		}
	}
}
