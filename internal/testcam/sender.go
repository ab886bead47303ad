package testcam

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/pion/rtcp"

	"github.com/vedette-io/vedette/internal/testcam/clip"
)

const rtpClock = 90000 // Hz, for all video (RFC 6184, section 8.2.1)

// sender packs access units into RTP packets and spoils them as told.
type sender struct {
	media *description.Media
	sent  func(unit int)

	mu     sync.Mutex
	enc    *rtph264.Encoder
	stream *gortsplib.ServerStream // nil while dead
	rand   *rand.Rand
	units  int
	pts    time.Duration // of the next unit
	// needKey holds units back until the next key frame.
	frozen, needKey  bool
	garbage, corrupt int
	loss             float64
}

func newSender(f *format.H264, media *description.Media, sent func(unit int)) (*sender, error) {
	enc, err := f.CreateEncoder()
	if err != nil {
		return nil, err
	}
	if sent == nil {
		sent = func(int) {}
	}
	return &sender{media: media, sent: sent, enc: enc, rand: rand.New(rand.NewPCG(1, 1))}, nil
}

// attach names the stream to write to; nil: nowhere.
func (s *sender) attach(stream *gortsplib.ServerStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = stream
}

func (s *sender) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units
}

// send writes one unit, which lasts period.
func (s *sender) send(unit clip.Unit, period time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := uint32(s.pts * rtpClock / time.Second)
	s.pts += period
	s.units++
	if !s.frozen && unit.Key() {
		s.needKey = false
	}
	if s.frozen || s.needKey || s.stream == nil {
		return
	}
	packets, err := s.enc.Encode(s.spoil(unit))
	if err != nil {
		return // only for empty units, which nothing makes
	}
	s.sent(s.units - 1)
	for _, p := range packets {
		p.Timestamp = stamp
		if s.garbage > 0 {
			p.Payload = s.random(len(p.Payload)) // the old one is the memory of the clip
		}
		if s.rand.Float64() < s.loss {
			continue
		}
		// The stream is closed while the camera is being killed; then the
		// packet is lost, as it should be.
		_ = s.stream.WritePacketRTP(s.media, p)
	}
	s.garbage = max(0, s.garbage-1)
}

// spoil overwrites about one byte in fifty of the picture data, if it is to.
func (s *sender) spoil(unit clip.Unit) clip.Unit {
	if s.corrupt == 0 {
		return unit
	}
	s.corrupt--
	const header = 4 // leave the unit its type and the first fields of its slice
	out := make(clip.Unit, len(unit))
	for i, nalu := range unit {
		out[i] = append([]byte(nil), nalu...)
		if typ := nalu[0] & 0x1f; typ > 5 {
			continue // not a slice
		}
		for j := header; j < len(nalu); j += 1 + s.rand.IntN(100) {
			out[i][j] = byte(s.rand.Uint32())
		}
	}
	return out
}

func (s *sender) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rand.Uint32())
	}
	return b
}

// bye tells the readers that the stream is over (RFC 3550, section 6.6).
func (s *sender) bye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil && !s.frozen {
		sources := []uint32{ssrc(s.stream, s.media)}
		// As with packets: a stream that is being killed loses it. FFmpeg
		// overlooks a BYE of fewer than 12 bytes, hence the reason.
		_ = s.stream.WritePacketRTCP(s.media, &rtcp.Goodbye{Sources: sources, Reason: "end of stream"})
	}
}

func ssrc(stream *gortsplib.ServerStream, media *description.Media) uint32 {
	for _, f := range stream.Stats().Medias[media].Formats {
		return f.LocalSSRC
	}
	return 0
}

// Freeze stops the stream while the connections stay open. The camera's clock
// runs on, so that the frames of this time are lost.
func (c *Camera) Freeze() { c.sender.set(func(s *sender) { s.frozen, s.needKey = true, true }) }

// Resume ends [Camera.Freeze]; the stream goes on with the next key frame.
func (c *Camera) Resume() { c.sender.set(func(s *sender) { s.frozen = false }) }

// Garbage fills the RTP packets of the next frames with random bytes.
func (c *Camera) Garbage(frames int) { c.sender.set(func(s *sender) { s.garbage = frames }) }

// Corrupt overwrites about one byte in fifty in the picture data of the next
// frames; their packets are in order.
func (c *Camera) Corrupt(frames int) { c.sender.set(func(s *sender) { s.corrupt = frames }) }

// DropPackets leaves out a share of the RTP packets, 0 to 1, from now on.
func (c *Camera) DropPackets(share float64) { c.sender.set(func(s *sender) { s.loss = share }) }

// JumpPTS moves the time stamps of all frames to come.
func (c *Camera) JumpPTS(d time.Duration) { c.sender.set(func(s *sender) { s.pts += d }) }

func (s *sender) set(f func(*sender)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}
