package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A hub collects what a host stored by the numbers that the host's stream gave
// it: it asks for what comes behind the last one that it has. After a power cut
// a host may have lost the end of its stream and give numbers again that the hub
// has seen with other messages; it would ask for what comes behind those, and
// never get the new ones.
//
// So the place at which a hub asks has a generation in its name, which changes
// when numbers may be given again. Nobody answers at the old one from then on,
// and the host tells the hub from where on to ask at the new one.

// pullFile is where a host's store has its generation.
const pullFile = "hub.json"

// pulls is what a host knows of its hub's collecting.
type pulls struct {
	file string

	mu    sync.Mutex
	state pullState
}

type pullState struct {
	Generation string `json:"generation"`
	// Boot is the start of the machine at which the store was used last.
	Boot string `json:"boot"`
	// Last is the stream's last number when the server was stopped in order; nil:
	// it runs, or was killed.
	Last *uint64 `json:"last,omitempty"`
	// Bases are the last numbers that a stream had when a generation began, of
	// those that the hub does not know yet.
	Bases []uint64 `json:"bases,omitempty"`
}

// openPulls reads the generation of a store whose stream has last, and begins
// another if numbers may be given again: the machine was started anew and the
// server not stopped before, or the store is another than was left.
func openPulls(store string, last uint64) (*pulls, error) {
	p := &pulls{file: filepath.Join(store, pullFile)}
	data, err := os.ReadFile(p.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("%w: store %s: %w", ErrConfig, store, err)
	default:
		_ = json.Unmarshal(data, &p.state) // one that cannot be read is as none
	}
	boot := bootID()
	s := &p.state
	same := s.Generation != "" && ((s.Last != nil && *s.Last == last) || (s.Last == nil && s.Boot == boot))
	if !same {
		s.Generation, s.Bases = strconv.FormatInt(time.Now().UnixMilli(), 36), append(s.Bases, last)
	}
	s.Boot, s.Last = boot, nil
	return p, p.write()
}

// bootID tells starts of the machine apart.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (p *pulls) generation() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.Generation
}

// start is from where on a hub is to ask that has everything up to seen of an
// earlier generation.
func (p *pulls) start(seen uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(seen, slices.Min(append(slices.Clone(p.state.Bases), seen))) + 1
}

// known notes that the hub knows the generation.
func (p *pulls) known() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.state.Bases) == 0 {
		return nil
	}
	p.state.Bases = nil
	return p.write()
}

// closed notes that the server was stopped in order, with last.
func (p *pulls) closed(last uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Last = &last
	return p.write()
}

// write replaces the file so that it is safe before anything is stored that
// depends on it. mu is held, or nobody else has p yet.
func (p *pulls) write() error {
	data, err := json.Marshal(p.state)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(p.file), ".hub-*")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), p.file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("store: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// lastStored is the last number of the stream of detections; 0: there is none.
func (b *Bus) lastStored(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, b.subjects.Stream("detections"))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream of detections: %w", err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// answerPulls lets the hub ask the embedded server, before anything is stored.
func (b *Bus) answerPulls(ctx context.Context, cfg Config) error {
	last, err := b.lastStored(ctx)
	if err != nil {
		return err
	}
	if b.pulls, err = openPulls(b.server.store, last); err != nil {
		return err
	}
	b.hub.pull = b.subjects.Pull(cfg.Host, b.pulls.generation())
	account, err := b.server.server.LookupAccount(table{b.subjects}.account())
	if err == nil {
		err = account.AddMapping(b.hub.pull+".CONSUMER.>", "$JS.API.CONSUMER.>")
	}
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	return nil
}
