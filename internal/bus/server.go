package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/fileerr"
)

// Times of the embedded server.
const (
	// readyTimeout bounds its start, which reads the store.
	readyTimeout = 30 * time.Second
	// healPause is how often a store that could not be written is tried again.
	healPause = 2 * time.Second
	// healSpace is how much must be free again before JetStream is restarted,
	// so that it does not fail again at once.
	healSpace = 4 << 20
)

// noBound leaves it to the streams' limits and the disk how much is stored. The
// server's own default, three quarters of what is free now, would refuse the
// streams of a small disk, which they may never fill.
const noBound = 1 << 50

// embedded is a NATS server in this process.
type embedded struct {
	server *server.Server
	log    *serverLog
	store  string
	temp   bool
	lock   *os.File
	keys   map[Role]nkeys.KeyPair
	// jetStream is how JetStream is started again.
	jetStream server.JetStreamConfig
	// broken says that the store cannot be written; breaks tells those who wait.
	broken atomic.Bool
	breaks outage

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startServer starts the embedded server of cfg.
func startServer(ctx context.Context, cfg Config, log *slog.Logger) (*embedded, error) {
	e := &embedded{store: cfg.Store, log: newServerLog(log)}
	e.breaks.reset()
	e.log.solicits = cfg.Hub.URL != ""
	if err := e.prepareStore(); err != nil {
		return nil, err
	}
	opts, err := e.options(cfg, log)
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded NATS server: %w", err), e.close())
	}
	e.server = s
	s.SetLoggerV2(e.log, false, false, false)
	e.wg.Go(s.Start)
	if err := e.ready(ctx, cfg.Listen); err != nil {
		return nil, errors.Join(err, e.close())
	}
	e.jetStream = *s.JetStreamConfig()
	e.jetStream.StoreDir = e.store
	healing, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.wg.Go(func() { e.heal(healing, log) })
	return e, nil
}

// ready waits until the server can be used, or knows why it never will be.
func (e *embedded) ready(ctx context.Context, listen string) error {
	const look = 50 * time.Millisecond
	for range readyTimeout / look {
		ok := e.server.ReadyForConnections(look)
		select {
		case reason := <-e.log.fatal:
			if e.server.JetStreamEnabled() {
				return fmt.Errorf("%w: listen %s: %s", ErrConfig, listen, reason)
			}
			return fmt.Errorf("%w: store %s: %s", ErrConfig, e.store, reason)
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if ok && e.server.JetStreamEnabled() {
			return nil
		}
	}
	return fmt.Errorf("embedded NATS server: not ready after %s; its store is %s", readyTimeout, e.store)
}

// heal restarts JetStream after the disk was full. The server stops writing to
// a stream after the first failed write, for good, so that nobody takes it for
// stored; the connections stay.
func (e *embedded) heal(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case <-e.log.frozen:
		case <-ctx.Done():
			return
		}
		log.Error("the store cannot be written; results are published but not stored", "store", e.store)
		e.broken.Store(true)
		e.breaks.reset()
		for restarted := false; !restarted; {
			select {
			case <-time.After(healPause):
			case <-ctx.Done():
				return
			}
			if !e.hasSpace() {
				continue
			}
			select { // what was reported before the restart is dealt with
			case <-e.log.frozen:
			default:
			}
			if err := e.restartJetStream(); err != nil {
				log.Warn("the store cannot be used yet", "store", e.store, "error", err)
				continue
			}
			restarted = true
			e.broken.Store(false)
			log.Info("the store can be written again", "store", e.store)
		}
	}
}

// storeBroken says that the server in this process cannot write its store.
// Whether another one can is seen from its answers alone.
func (b *Bus) storeBroken() bool { return b.server != nil && b.server.broken.Load() }

// whileStored is ctx, ended also by the next failure of the store in this
// process: what waits for an answer then would wait in vain.
func (b *Bus) whileStored(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if b.server == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(b.server.breaks.current(), cancel)
	return ctx, func() { stop(); cancel() }
}

func (e *embedded) restartJetStream() error {
	if err := e.server.DisableJetStream(); err != nil {
		return err
	}
	again := e.jetStream // the server changes the folder in what it is given
	return e.server.EnableJetStream(&again)
}

// hasSpace reports whether the store takes a few megabytes more.
func (e *embedded) hasSpace() bool {
	f, err := os.CreateTemp(e.store, "space-*")
	if err != nil {
		return false
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, healSpace)
	return errors.Join(err, f.Close(), os.Remove(f.Name())) == nil
}

// prepareStore makes the folder and takes its lock: two servers on one store
// would destroy it.
func (e *embedded) prepareStore() error {
	if e.store == "" {
		var err error
		if e.store, e.lock, err = makeTempStore(); err != nil {
			return err
		}
		e.temp = true
		if err := claim(e.lock); err != nil {
			return errors.Join(fmt.Errorf("store %s: cannot write there: %w", e.store, fileerr.Cause(err)), e.close())
		}
		return nil
	}
	if err := os.MkdirAll(e.store, 0o700); err != nil {
		return fmt.Errorf("%w: store %s: cannot make the folder: %w", ErrConfig, e.store, fileerr.Cause(err))
	}
	lock, err := os.OpenFile(filepath.Join(e.store, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: store %s: cannot write there: %w", ErrConfig, e.store, fileerr.Cause(err)), e.close())
	}
	e.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		held, _ := os.ReadFile(lock.Name())
		return errors.Join(fmt.Errorf("%w: store %s is in use by another vedette (process %s): stop it, or give this one another bus.store", ErrConfig, e.store, held), e.close())
	}
	if err := claim(lock); err != nil {
		return errors.Join(fmt.Errorf("%w: store %s: cannot write there: %w", ErrConfig, e.store, fileerr.Cause(err)), e.close())
	}
	return nil
}

// adopt takes over what was stored before there were accounts.
func (e *embedded) adopt(account string) error {
	from, to := filepath.Join(e.store, "jetstream", "$G"), filepath.Join(e.store, "jetstream", account)
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: store %s: cannot take over what an earlier version stored: %w", ErrConfig, e.store, err)
	}
	return nil
}

// claim writes this process into the lock file. A full or read-only disk shows
// here, before JetStream would hide it in a state.
func claim(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	return lock.Sync()
}

func (e *embedded) close() error {
	if e.cancel != nil {
		e.cancel()
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	e.wg.Wait()
	var err error
	if e.lock != nil {
		err = e.lock.Close()
	}
	if e.temp {
		err = errors.Join(err, os.RemoveAll(e.store))
	}
	return err
}
