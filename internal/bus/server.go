package bus

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// readyTimeout bounds the start of the embedded server, which reads its store.
const readyTimeout = 30 * time.Second

// embedded is a NATS server in this process.
type embedded struct {
	server *server.Server
	store  string
	temp   bool
	lock   *os.File
}

// startServer starts the embedded server of cfg.
func startServer(cfg Config) (*embedded, error) {
	e := &embedded{store: cfg.Store}
	if err := e.prepareStore(); err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "vedette", NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: e.store, JetStreamMaxStore: cfg.MaxStore,
		MaxPayload: maxPayload, MaxPending: 64 << 20,
		DisableJetStreamBanner: true,
	}
	if cfg.Listen == "" {
		opts.DontListen = true
	} else if err := listenOptions(opts, cfg.Listen); err != nil {
		return nil, errors.Join(err, e.close())
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded NATS server: %w", err), e.close())
	}
	e.server = s
	s.Start()
	if !s.ReadyForConnections(readyTimeout) || !s.JetStreamEnabled() {
		return nil, errors.Join(fmt.Errorf("embedded NATS server: its store %s cannot be used: check that the folder can be written and the disk is not full", e.store), e.close())
	}
	return e, nil
}

// listenOptions takes the address, and checks first that it is free: the
// server itself would only log that it is not.
func listenOptions(opts *server.Options, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("%w: listen %s: the port is in use: stop what uses it (another vedette?) or choose another with bus.listen", ErrConfig, addr)
		}
		return fmt.Errorf("%w: listen %s: %w", ErrConfig, addr, err)
	}
	actual := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return err
	}
	opts.Host, opts.Port = actual.IP.String(), actual.Port
	return nil
}

// prepareStore makes the folder and takes its lock: two servers on one store
// would destroy it.
func (e *embedded) prepareStore() error {
	if e.store == "" {
		dir, err := os.MkdirTemp("", "vedette-*")
		if err != nil {
			return fmt.Errorf("store: no temporary folder: %w", err)
		}
		e.store, e.temp = dir, true
	} else if err := os.MkdirAll(e.store, 0o700); err != nil {
		return fmt.Errorf("%w: store %s: cannot make the folder: %w", ErrConfig, e.store, cause(err))
	}
	lock, err := os.OpenFile(filepath.Join(e.store, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%w: store %s: cannot write there: %w", ErrConfig, e.store, cause(err))
	}
	e.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		held, _ := os.ReadFile(lock.Name())
		lock.Close()
		e.lock = nil
		return fmt.Errorf("%w: store %s is in use by another vedette (process %s): stop it, or give this one another bus.store", ErrConfig, e.store, held)
	}
	// A full disk shows here, before JetStream would hide it in a state.
	probe := strconv.Itoa(os.Getpid())
	if err := lock.Truncate(0); err == nil {
		_, err = lock.WriteAt([]byte(probe), 0)
	}
	if err == nil {
		err = lock.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: store %s: cannot write there: %w", ErrConfig, e.store, cause(err)), e.close())
	}
	return nil
}

// cause strips the path from an error that is about to be named beside it.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// address is where clients connect, or empty.
func (e *embedded) address() string {
	if a, ok := e.server.Addr().(*net.TCPAddr); ok && a != nil {
		return "nats://" + a.String()
	}
	return ""
}

func (e *embedded) close() error {
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	var err error
	if e.lock != nil {
		err = e.lock.Close()
	}
	if e.temp {
		err = errors.Join(err, os.RemoveAll(e.store))
	}
	return err
}
