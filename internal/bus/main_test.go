package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/vedette-io/vedette/internal/bus"
)

// serverEnv makes this binary a NATS server with the store that it names, so
// that a test can kill one.
const serverEnv = "VEDETTE_TEST_NATS_STORE"

// tempStoreEnv makes this binary a process with a temporary store.
const tempStoreEnv = "VEDETTE_TEST_TEMP_STORE"

func TestMain(m *testing.M) {
	if os.Getenv(tempStoreEnv) != "" {
		if err := useTempStore(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if store := os.Getenv(serverEnv); store != "" {
		if err := serve(store); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if text := os.Getenv(siteEnv); text != "" {
		if err := serveSite(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if node := os.Getenv(nodeEnv); node != "" {
		if err := serveNode(node); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// nats.go 1.55 forgets this one when an upload ends, here by a refusal, before
	// it has run at all.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

// serve runs a NATS server on the port that the store names until the process is
// killed or its input ends.
func serve(store string) error {
	text, err := os.ReadFile(filepath.Join(store, "port"))
	if err != nil {
		return err
	}
	var port int
	if _, err := fmt.Sscan(string(text), &port); err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "external", Host: "127.0.0.1", Port: port, JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: store, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return fmt.Errorf("the server is not ready")
	}
	fmt.Println(s.ClientURL())
	buf := make([]byte, 1)
	_, _ = os.Stdin.Read(buf) // ends with the test
	return nil
}

// process is a NATS server that can be killed.
type process struct {
	cmd *exec.Cmd
	url string
}

// spawn starts a server process on store; on the port it had before, if any, which
// no other program is given meanwhile.
func spawn(tb testing.TB, store string) *process {
	tb.Helper()
	file := filepath.Join(store, "port")
	if _, err := os.Stat(file); err != nil {
		if err := errors.Join(os.MkdirAll(store, 0o700), os.WriteFile(file, fmt.Append(nil, freePorts(tb, 1)[0]), 0o600)); err != nil {
			tb.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"="+store)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p := &process{cmd: cmd}
	tb.Cleanup(p.kill) // and what keeps the pipe, whose end is the child's
	if _, err := fmt.Fscanln(out, &p.url); err != nil {
		p.kill()
		tb.Fatalf("the server process does not start: %v", err)
	}
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// start runs a bus for the length of a test.
func start(tb testing.TB, cfg bus.Config) *bus.Bus {
	tb.Helper()
	b, err := bus.Start(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("close the bus: %v", err)
		}
	})
	return b
}

// as connects to an embedded server with the key of a role.
func as(tb testing.TB, b *bus.Bus, r bus.Role) *bus.Bus {
	tb.Helper()
	return start(tb, bus.Config{URL: b.Address(), NKey: b.KeyFile(r), Role: r})
}

// refused starts a bus that cannot start and returns why.
func refused(tb testing.TB, cfg bus.Config) error {
	tb.Helper()
	b, err := bus.Start(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
		tb.Fatal("it started")
	}
	return err
}
