package preprocess

import (
	"context"
	"sync"
)

// backlog is the queue between a lane's spooling and its sending.
type backlog struct {
	mu       sync.Mutex
	items    []*spooled
	inMemory int
	closed   bool
	more     chan struct{} // holds a token when there may be something to take
	less     chan struct{} // holds a token when something was taken
}

func newBacklog() *backlog {
	return &backlog{more: make(chan struct{}, 1), less: make(chan struct{}, 1)}
}

// room reports whether another body may stay in memory.
func (b *backlog) room() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inMemory < spoolAhead
}

// awaitRoom waits until another body may stay in memory, or ctx ends.
func (b *backlog) awaitRoom(ctx context.Context) {
	for !b.room() {
		select {
		case <-b.less:
		case <-ctx.Done():
			return
		}
	}
}

func (b *backlog) put(s *spooled) {
	b.mu.Lock()
	b.items = append(b.items, s)
	if s.body != nil {
		b.inMemory++
	}
	b.mu.Unlock()
	wake(b.more)
}

// close says that nothing more comes.
func (b *backlog) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	wake(b.more)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take waits for the next frame; nil when there will be none, or ctx ends.
func (b *backlog) take(ctx context.Context) *spooled {
	for {
		b.mu.Lock()
		if len(b.items) > 0 {
			s := b.items[0]
			b.items[0] = nil
			b.items = b.items[1:]
			if s.body != nil {
				b.inMemory--
			}
			b.mu.Unlock()
			wake(b.less)
			return s
		}
		closed := b.closed
		b.mu.Unlock()
		if closed {
			return nil
		}
		select {
		case <-b.more:
		case <-ctx.Done():
			return nil
		}
	}
}

// waiting is how many frames wait.
func (b *backlog) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items)
}
