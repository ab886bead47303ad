package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// LastDetection returns the last stored detection of a camera and model, or
// nil if there is none.
func (b *Bus) LastDetection(ctx context.Context, camera, model string) (_ *vedette.Detection, err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	msg, err := b.lastDetection(ctx, b.subjects.Detection(camera, model))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil || msg == nil {
		return nil, err
	}
	var d vedette.Detection
	if err := json.Unmarshal(msg.Data, &d); err != nil {
		return nil, fmt.Errorf("last detection of %s: %w", camera, err)
	}
	return &d, nil
}

// lastMessage is the subject's last message in a stream.
type lastMessage struct {
	Seq  uint64 `json:"seq"`
	Hdrs []byte `json:"hdrs"`
	Data []byte `json:"data"`
}

// id is the message's name for the broker.
func (m *lastMessage) id() string {
	header, err := nats.DecodeHeadersMsg(m.Hdrs)
	if err != nil {
		return ""
	}
	return header.Get(jetstream.MsgIDHeader)
}

// lastDetection asks the stream's leader, nil for nothing. The client library
// would ask whichever server answers first, and in a cluster one that is behind
// knows an older message for the last.
func (b *Bus) lastDetection(ctx context.Context, subject string) (*lastMessage, error) {
	name := b.subjects.Stream("detections")
	question, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout) // at most
	defer cancel()
	reply, err := b.control.RequestWithContext(ctx, b.api+"STREAM.MSG.GET."+name, question)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *lastMessage        `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("stream %s: answer not understood: %w", name, err)
	}
	switch {
	case answer.Error == nil:
		return answer.Message, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return nil, fmt.Errorf("stream %s: %w", name, jetstream.ErrStreamNotFound)
	}
	return nil, fmt.Errorf("stream %s: %w", name, answer.Error)
}
