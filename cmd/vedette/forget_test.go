package main_test

import (
	"context"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
)

func TestForget(t *testing.T) {
	t.Parallel()
	b := plantBus(t, bus.Config{Listen: "127.0.0.1:0"})
	leases, err := b.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	take := func(key, host string) {
		t.Helper()
		if _, err := leases.Take(context.Background(), key, bus.Holder{Instance: host + "-1", Host: host, Since: vedette.At(time.Now())}); err != nil {
			t.Fatal(err)
		}
	}
	take("owner.gate", "east")
	take("capture.gate", "east")
	take("owner.yard", "west")
	as := []string{"--server", b.Address(), "--nkey", b.KeyFile(bus.Operator)}
	forget := func(args ...string) outcome { return run(t, append(append([]string{"forget"}, args...), as...)...) }
	if o := forget("east"); o.code != 0 || o.stdout != "the host east has no cameras any more; free are capture.gate, owner.gate\n" {
		t.Errorf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if o := forget("east"); o.code != 0 || o.stdout != "the host east had no cameras\n" {
		t.Errorf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if lease, err := leases.Find(t.Context(), "owner.yard"); err != nil || lease == nil {
		t.Errorf("the other host's camera: %v, %v", lease, err)
	}
	stop, err := b.AddService(bus.ServiceName, "v1", map[string]string{"stage": "run", "host": "west"}, func() any { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop() //nolint:errcheck // it fails only with the connection
	forget("west").wantSentence(t, 1, "the host west is there: run answers")
	forget("A.b").wantSentence(t, 2, "HOST")
	run(t, "forget").wantSentence(t, 2, "forget HOST")
	run(t, "forget", "west", "--server", b.Address()).wantSentence(t, 2, "forget needs the operator's key")
}
