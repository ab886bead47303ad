package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/models"
)

func newDoctor(g *globals) *cobra.Command {
	var transport, file string
	cmd := &cobra.Command{
		Use:   "doctor [SOURCE | -c FILE]",
		Short: "says what is installed, what is missing, what a camera answers, and what to do",
		Long: `Looks at what a plant needs and says, a line each, what is ok, what may become a trouble (warn)
and what is bad, with what to do about it. Without arguments it looks at this machine; with a
SOURCE at that camera or file; with -c FILE at the machine and at everything that the
configuration names: the store, the NATS server, each model and each camera. Nothing is
changed, and a plant that runs is not disturbed. Exit code 1 when something is bad.`,
		Example: `  vedette doctor
  vedette doctor rtsp://viewer:secret@10.0.0.5/stream2
  vedette doctor -c plant.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := &doctor{w: cmd.OutOrStdout(), g: g}
			switch {
			case len(args) > 0 && file != "":
				return usagef("give a SOURCE or -c FILE, not both")
			case len(args) > 0:
				if err := d.source(cmd.Context(), args[0], transport); err != nil {
					return err
				}
			default:
				d.machine()
				if file == "" {
					d.here()
				} else if err := d.plant(cmd.Context(), file); err != nil {
					return err
				}
			}
			if d.bad > 0 {
				return errReported
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&transport, "transport", "tcp", "transport of RTSP: tcp or udp; with -c FILE the file says it")
	return cmd
}

// doctor prints findings and counts those that need care.
type doctor struct {
	w   io.Writer
	g   *globals
	bad int
}

func (d *doctor) good(what, format string, args ...any) { d.line("ok", what, format, args...) }

func (d *doctor) note(what, format string, args ...any) { d.line("warn", what, format, args...) }

func (d *doctor) wrong(what, format string, args ...any) {
	d.bad++
	d.line("bad", what, format, args...)
}

func (d *doctor) line(how, what, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	fmt.Fprintf(d.w, "%-4s  %-14s  %s\n", how, what, text)
}

// machine looks at what is installed.
func (d *doctor) machine() {
	d.good("program", "%s", versionLine())
	d.good("machine", "%d CPUs usable of %d", runtime.GOMAXPROCS(0), runtime.NumCPU())
	if v, err := cv.Version(); err != nil {
		d.note("OpenCV", "%v; without it no video or camera can be looked at here; detect and eval on picture files, infer, watch, status and models work", err)
	} else {
		d.good("OpenCV", "%s", v)
	}
	if lib, err := ort.Find(); err != nil {
		d.note("ONNX Runtime", "%v; until then only the engine gorgonia can be used, for plain networks", err)
	} else {
		d.good("ONNX Runtime", "%s, %s", lib.Version, lib.Path)
	}
	d.good("gorgonia", "built in")
	d.memory()
}

// here looks at what a plant would use that says nothing else.
func (d *doctor) here() {
	dir, err := os.MkdirTemp("", "vedette-*")
	if err != nil {
		d.wrong("store", "no temporary folder can be made in %s: %v: make room there, or set TMPDIR", os.TempDir(), fileerr.Cause(err))
	} else {
		d.good("store", "%s can be written", filepath.Dir(dir))
		if err := os.Remove(dir); err != nil {
			d.wrong("store", "%v", err)
		}
	}
	d.listener("bus", "127.0.0.1:4222", "bus.listen")
	if here := models.DefaultPlaces().List(); len(here) == 0 {
		d.note("models", "none on this machine: vedette models list shows what can be pulled")
	} else {
		for _, m := range here {
			d.good("model", "%s, %s", m.Name, m.Path)
		}
	}
	checks, err := models.Verify("", "")
	if err != nil {
		d.note("models", "%v", err)
	}
	for _, c := range checks {
		if c.State == models.Damaged {
			d.wrong("model", "%s: %v: run vedette models pull %s", c.Entry.Name, c.Err, c.Entry.Name)
		}
	}
}

// memory tries to reserve a ring as a 1080p camera would.
func (d *doctor) memory() {
	w, err := ring.Create(ring.DefaultSlots, 1920*1080*3)
	if err != nil {
		d.wrong("memory", "a ring for a 1080p camera cannot be made: %v", err)
		return
	}
	d.good("memory", "a ring for a 1080p camera (%d MB) can be reserved", ring.DefaultSlots*1920*1080*3>>20)
	if err := w.Close(); err != nil {
		d.wrong("memory", "%v", err)
	}
}

// listener sees whether a port is free.
func (d *doctor) listener(what, address, key string) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		d.note(what, "%s is in use: by the plant that runs, or stop what uses it, or choose another %s", address, key)
	case err != nil:
		d.wrong(what, "%s cannot be listened on: %v: choose another %s", address, err, key)
	default:
		d.good(what, "%s is free", address)
		if err := l.Close(); err != nil {
			d.wrong(what, "%v", err)
		}
	}
}
