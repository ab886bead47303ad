package proc

import (
	"encoding/json"
	"io"
)

// WriteLine writes v as a line of JSON in one write, as processes of this program
// talk to each other.
func WriteLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
