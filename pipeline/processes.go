package pipeline

import (
	"fmt"
	"os"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/supervise"
)

// supervisorStage is what the process is called that keeps the stages running as
// processes of their own.
const supervisorStage = "supervisor"

// AnnounceSupervisor makes a process known on the bus that keeps the stages running
// as processes of their own. status is what it says of itself.
func AnnounceSupervisor(b *bus.Bus, cfg Config, version string, processes func() []supervise.Status) (status func() Status, stop func() error, err error) {
	if err := cfg.setHost(); err != nil {
		return nil, nil, err
	}
	instance, began := newInstance(cfg.Host), time.Now()
	status = func() Status {
		s := Status{
			Stage: supervisorStage, Instance: instance, State: Health, Version: version, Site: cfg.Site, Host: cfg.Host, PID: os.Getpid(),
			Started: vedette.At(began), Time: vedette.At(time.Now()), Cameras: []CameraStatus{}, Models: []ModelStatus{}, Processes: processes(),
		}
		c := b.Counters()
		s.Bus = BusStatus{
			Address: b.Address(), Disconnects: c.Disconnects.Load(), Reconnects: c.Reconnects.Load(),
			SlowConsumers: c.SlowConsumers.Load(), Errors: c.Errors.Load(),
		}
		if cfg.Bus.URL == "" {
			s.Store = &StoreStatus{Path: cfg.Bus.Store, MaxBytes: cfg.Bus.MaxStore}
		}
		return s
	}
	stop, err = b.AddService(bus.ServiceName, version,
		map[string]string{"stage": supervisorStage, "host": cfg.Host, "site": cfg.Site, "instance": instance},
		func() any { return status() })
	return status, stop, err
}

// setHost fills in this host's name.
func (c *Config) setHost() error {
	if c.Host == "" {
		name, err := os.Hostname()
		if err != nil {
			name = "localhost"
		}
		c.Host = vedette.Slug(name)
	}
	if err := vedette.CheckID(c.Host); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	return nil
}

// SameBase says whether nothing is changed that a running plant cannot change: else
// the error is an [ErrRestart].
func (c Config) SameBase(other Config) error {
	if c.Bus != other.Bus || c.Limits != other.Limits || c.Site != other.Site {
		return fmt.Errorf("%w: the site, the bus or a retention is another", ErrRestart)
	}
	return nil
}
