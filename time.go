package vedette

import (
	"fmt"
	"time"
)

// timeLayout is RFC 3339 in UTC with exactly six decimals, so that times of
// equal length sort as text.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Time is an instant as messages carry it: RFC 3339, UTC, microseconds.
type Time struct{ time.Time }

// At returns t in UTC, cut to microseconds as it will be on the wire.
func At(t time.Time) Time {
	return Time{t.UTC().Truncate(time.Microsecond)}
}

// String formats t as messages do.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON implements [encoding/json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(timeLayout)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON accepts any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("time %s: want a string in RFC 3339", b)
	}
	v, err := time.Parse(time.RFC3339Nano, string(b[1:len(b)-1]))
	if err != nil {
		return fmt.Errorf("time %s: want RFC 3339: %w", b, err)
	}
	v = v.UTC()
	if y := v.Year(); y < 0 || y > 9999 { // a zone can push it over the edge
		return fmt.Errorf("time %s: want RFC 3339: year %d in UTC", b, y)
	}
	*t = At(v)
	return nil
}

// Millis is d in milliseconds, the unit of every duration in a message,
// rounded to microseconds.
func Millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
