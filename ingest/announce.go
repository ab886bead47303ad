package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/ring"
)

func (c *child) unreadable(ev *event, reason string) error {
	ev.Type, ev.Text, ev.Sampled = evUnreadable, reason, c.sampled
	c.seq++
	return c.send(ev)
}

// announce writes the frame into a slot and tells the parent.
func (c *child) announce(ev *event, decode time.Duration) error {
	for {
		slot, mem, err := c.begin()
		if errors.Is(err, errRingFull) {
			ev.Code = codeOverflow
			return c.unreadable(ev, "nothing has room for the picture")
		}
		if err != nil {
			return err
		}
		converting := time.Now()
		shape, err := c.src.picture(mem)
		if errors.Is(err, cv.ErrTooSmall) {
			err := c.newRing(shape.Bytes())
			if err == nil {
				err = c.memory.fit(shape.Width * shape.Height)
			}
			if err != nil {
				return err
			}
			continue
		}
		if err != nil && !c.job.Live {
			c.slots.obey(command{Ring: c.number, Slot: slot}) // not used after all
			return c.unreadable(ev, "the frame cannot be converted: "+err.Error())
		}
		if err != nil {
			return c.readFailed(fmt.Errorf("convert the frame: %w", err))
		}
		ref := c.ring.Commit(slot, shape.Stride(), shape.Bytes())
		// What was spent waiting for a slot is not capture time.
		ev.Millis = vedette.Millis(decode + time.Since(converting))
		ev.Ring, ev.Slot, ev.Generation, ev.Offset = c.number, slot, ref.Generation, ref.Offset
		ev.Width, ev.Height, ev.Channels = shape.Width, shape.Height, shape.Channels
		ev.Sampled = c.sampled
		c.seq++
		return c.send(ev)
	}
}

var errRingFull = errors.New("no free slot")

// begin opens a slot: the next one, or under every delivery one that is free.
// Without a ring yet it returns no memory.
func (c *child) begin() (int, []byte, error) {
	if c.ring == nil {
		return 0, nil, nil
	}
	if !c.job.Every {
		c.next = (c.next + 1) % c.ring.Slots()
		return c.next, c.ring.Begin(c.next), nil
	}
	began := time.Now()
	for {
		wait := tickEvery
		if c.full {
			wait = 0 // the source does not wait, either
		}
		slot, ok := c.slots.take(wait)
		if ok {
			c.full = false
			return slot, c.ring.Begin(slot), nil
		}
		if c.full || c.job.Live && time.Since(began) >= liveWait {
			c.full = true
			return 0, nil, errRingFull
		}
		if err := c.tick(); err != nil {
			return 0, nil, err
		}
	}
}

// newRing replaces the ring by one for pictures of n bytes, and waits until
// the parent has a hand on it. The old one lives on with those who have it.
func (c *child) newRing(n int) error {
	if n > ring.MaxSlotBytes {
		return &failure{code: failSpace, err: fmt.Errorf("a picture of %d MiB is too large, at most %d MiB fit", n>>20, ring.MaxSlotBytes>>20)}
	}
	if c.ring != nil {
		if err := c.ring.Close(); err != nil {
			return err
		}
	}
	count := min(c.job.Slots, max(2, int(c.job.Ring/int64(n))))
	w, err := ring.Create(count, n)
	if err != nil {
		c.ring = nil
		return &failure{code: failSpace, err: err}
	}
	c.ring, c.next = w, 0
	c.number++
	c.slots.reset(c.number, count)
	if err := c.send(&event{Type: evRing, Seq: c.seq, Ring: c.number, FD: w.FD()}); err != nil {
		return err
	}
	c.slots.awaitHeld()
	return nil
}
