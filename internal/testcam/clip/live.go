package clip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Live is a video that is painted and encoded in real time, as a camera does.
type Live struct {
	enc   *encoder
	units chan Unit
	stop  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	mu  sync.Mutex
	err error
}

// StartLive starts to paint and encode; frame i is painted i/FPS seconds from
// now. On a machine that is too slow frames come late, but none is left out.
func StartLive(s Spec) (*Live, error) {
	s, err := s.complete()
	if err != nil {
		return nil, err
	}
	enc, err := start(context.Background(), s.streamArgs("ultrafast"))
	if err != nil {
		return nil, err
	}
	l := &Live{enc: enc, units: make(chan Unit), stop: make(chan struct{})}
	l.wg.Add(2)
	go func() {
		defer l.wg.Done()
		defer enc.stdin.Close()
		l.fail(l.paint(s))
	}()
	go func() {
		defer l.wg.Done()
		defer close(l.units)
		l.fail(l.read())
	}()
	return l, nil
}

// Units gives the access units in order, one a frame, the moment each is
// encoded. It is closed when the video ends, for which [Live.Err] has the
// reason. Whoever does not read makes the camera wait.
func (l *Live) Units() <-chan Unit { return l.units }

// Err is why the video ended, nil while it runs and after Close.
func (l *Live) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close ends the video and frees the encoder. It is idempotent.
func (l *Live) Close() {
	l.once.Do(func() {
		close(l.stop)
		l.enc.cancel()
		l.wg.Wait()
		// Killed is what it should be.
		_ = l.enc.cmd.Wait()
	})
}

// fail keeps the first error that is not a consequence of Close.
func (l *Live) fail(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stop:
	default:
		if l.err == nil {
			l.err = err
		}
	}
}

func (l *Live) paint(s Spec) error {
	pic := newPicture(s)
	period := time.Second / time.Duration(s.FPS)
	clock := time.NewTimer(0)
	defer clock.Stop()
	due := time.Now()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return nil
		case <-clock.C:
		}
		s.Paint(pic, i)
		if _, err := l.enc.stdin.Write(pic.Pix); err != nil {
			return fmt.Errorf("write frame %d to ffmpeg: %w", i, err)
		}
		due = due.Add(period)
		clock.Reset(time.Until(due))
	}
}

func (l *Live) read() error {
	units := newUnitReader(l.enc.stdout)
	for {
		unit, err := units.next()
		if errors.Is(err, io.EOF) {
			return errors.New("ffmpeg ended")
		}
		if err != nil {
			return fmt.Errorf("read the encoder's output: %w", err)
		}
		select {
		case l.units <- unit:
		case <-l.stop:
			return nil
		}
	}
}
