package tensor

import (
	"encoding/json"
	"fmt"

	"github.com/vedette-io/vedette"
)

// Header names the NATS header that carries a [Request] as JSON; the body of
// the message is the model-sized picture: uint8, height × width × channels, in
// the model's colour order.
const Header = "Vedette-Tensor"

// Request asks a worker to run a model on the picture in the message's body.
type Request struct {
	Camera string `json:"camera"`
	Epoch  string `json:"epoch"`
	Seq    uint64 `json:"seq"`
	// SHA256 is the model the picture was made for, and Edition what that model
	// answers ([models.Model]; empty: whatever it does). A worker that has another
	// leaves it alone, so that a hot swap cannot mix.
	SHA256   string   `json:"sha256"`
	Edition  string   `json:"edition,omitempty"`
	Geometry Geometry `json:"geometry"`
	// Deadline, when set, is when the answer stops being of use.
	Deadline *vedette.Time `json:"deadline,omitempty"`
	// Ref, when set, is where the picture lies in shared memory of this host; the
	// message has no body then.
	Ref *vedette.RingRef `json:"ref,omitempty"`
	// Encoding is how the picture in the body is encoded; empty: not at all.
	Encoding string `json:"encoding,omitempty"`
}

// JPEG is the encoding of a picture that was made smaller for the network, with
// some loss.
const JPEG = "jpeg"

// Answer is a worker's reply.
type Answer struct {
	Status vedette.Status `json:"status"`
	// Again says that the request was not tried here, and may go to another
	// worker: this one stops, loads its model anew, or has another one. There is no
	// Status then.
	Again bool `json:"again,omitempty"`
	// Send says that the picture behind the request's Ref could not be had, and
	// has to come in the body. There is no Status then.
	Send   bool             `json:"send,omitempty"`
	Reason string           `json:"reason,omitempty"`
	Model  vedette.ModelRef `json:"model"`
	// Objects and Classes are as in [vedette.Detection], in frame coordinates.
	Objects *[]vedette.Object `json:"objects,omitempty"`
	Classes *[]vedette.Class  `json:"classes,omitempty"`
	// InferMillis and PostprocessMillis are what the worker spent.
	InferMillis       float64 `json:"infer_ms"`
	PostprocessMillis float64 `json:"postprocess_ms"`
}

// ParseRequest reads the JSON of [Header] and checks what a worker relies on.
func ParseRequest(header string) (*Request, error) {
	var r Request
	if err := json.Unmarshal([]byte(header), &r); err != nil {
		return nil, fmt.Errorf("tensor request: %w", err)
	}
	g := r.Geometry
	if g.Width <= 0 || g.Height <= 0 || !(g.ScaleX > 0) || !(g.ScaleY > 0) {
		return nil, fmt.Errorf("tensor request of camera %q: impossible geometry %+v", r.Camera, g)
	}
	return &r, nil
}
