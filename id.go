package vedette

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// ErrInvalidID is wrapped by every error that [CheckID] returns.
var ErrInvalidID = errors.New("invalid id")

// maxIDLen bounds an id so that a subject built from several ids stays far
// below the limits of the broker and of file names derived from it.
const maxIDLen = 64

// CheckID reports whether id may name a site, host, camera, model, station or
// instance: one to 64 characters of a-z, 0-9, '_' and '-'. Anything else could
// change the meaning of a subject ('.', '*' and '>' are subject syntax).
func CheckID(id string) error {
	if id == "" {
		return fmt.Errorf("%w: it is empty; allowed are a-z, 0-9, _ and -", ErrInvalidID)
	}
	if len(id) > maxIDLen {
		return fmt.Errorf("%w %q: %d characters long, at most %d are allowed", ErrInvalidID, id, len(id), maxIDLen)
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return fmt.Errorf("%w %q: allowed are a-z, 0-9, _ and -", ErrInvalidID, id)
		}
	}
	return nil
}

// Slug turns free text (a label, a file name, a host name) into a valid id:
// letters are lowered, every run of other characters becomes one '_'. Text
// without a usable character becomes "unnamed".
func Slug(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range text {
		r = unicode.ToLower(r)
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') || r == '-' || r == '_' {
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(r)
			if b.Len() >= maxIDLen {
				break
			}
			continue
		}
		gap = true
	}
	if b.Len() == 0 {
		return "unnamed"
	}
	return b.String()[:min(b.Len(), maxIDLen)]
}

// FrameID is the one name of a frame: <camera>-<epoch>-<seq>.
type FrameID struct {
	Camera string
	Epoch  string
	Seq    uint64
}

// String formats the id; seq is padded to six digits so that ids of one epoch
// sort as text for the first million frames.
func (id FrameID) String() string {
	return fmt.Sprintf("%s-%s-%06d", id.Camera, id.Epoch, id.Seq)
}

// Detection names the result of one model on this frame.
func (id FrameID) Detection(model string) string {
	return id.String() + "-" + model
}

// ParseFrameID is the inverse of [FrameID.String].
func ParseFrameID(s string) (FrameID, error) {
	bad := func(why string) (FrameID, error) {
		return FrameID{}, fmt.Errorf("frame id %q: %s", s, why)
	}
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return bad("want <camera>-<epoch>-<seq>")
	}
	seq, err := strconv.ParseUint(s[i+1:], 10, 64)
	if err != nil || s[i+1] == '+' {
		return bad("the last part is not a sequence number")
	}
	j := strings.LastIndexByte(s[:i], '-')
	if j < 0 {
		return bad("want <camera>-<epoch>-<seq>")
	}
	id := FrameID{Camera: s[:j], Epoch: s[j+1 : i], Seq: seq}
	if err := CheckID(id.Camera); err != nil {
		return bad(err.Error())
	}
	if err := CheckID(id.Epoch); err != nil {
		return bad(err.Error())
	}
	return id, nil
}

// crockford is the base-32 alphabet of ULIDs in lower case: it sorts as the
// numbers it encodes do.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// Epochs hands out epochs: names of one unbroken run of a camera, ten
// characters that sort by time (the time part of a ULID, milliseconds). The
// zero value is ready; it never gives the same or an older epoch twice, even
// when the clock steps back. Safe for concurrent use.
type Epochs struct {
	mu   sync.Mutex
	last uint64
}

// Next returns an epoch for a run that starts at now.
func (e *Epochs) Next(now time.Time) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	ms := max(uint64(now.UnixMilli()), e.last+1)
	e.last = ms
	var b [10]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = crockford[ms&31]
		ms >>= 5
	}
	return string(b[:])
}
