//go:build cv

package stagetest_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
)

// freePort is one that nothing listened on a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// hubPlant is a hub with the keys of the roles.
func hubPlant(t *testing.T) *plant {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	return newHub(t, keys, freePort(t))
}

// hostServer starts the server of a camera host as docs/nats has it, and returns
// its address.
func (p *plant) hostServer(name string) string {
	t := p.t
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{"../../docs/nats/host.conf": "host.conf", filepath.Join(p.keys, "accounts.conf"): "accounts.conf"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seed, err := os.ReadFile(p.key(bus.Leaf))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_NAME", name)
	t.Setenv("NATS_HUB", fmt.Sprintf("nats-leaf://127.0.0.1:%d", p.leafs))
	t.Setenv("VEDETTE_LEAF_SEED", strings.TrimSpace(string(seed)))
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "host.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.Port, opts.HTTPPort, opts.StoreDir, opts.NoSigs, opts.NoLog = server.RANDOM_PORT, 0, t.TempDir(), true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the host's NATS server is not ready")
	}
	return s.ClientURL()
}

// login connects as a role.
func (p *plant) login(url string, r bus.Role) *nats.Conn { return p.loginWith(url, p.key(r), r) }

func (p *plant) loginWith(url, file string, r bus.Role) *nats.Conn {
	p.t.Helper()
	key, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		p.t.Fatal(err)
	}
	nc, err := nats.Connect(url, key, nats.CustomInboxPrefix(r.Inbox()), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	return nc
}

// TestHubAway: the hub, where the models run, is away from a host with eight
// cameras. Lossless frames wait on the host and are all inferred when it is back;
// those of which the newest wins go on with what is live then. The hub has what
// the host stored, each once.
func TestHubAway(t *testing.T) {
	p := hubPlant(t)
	address := p.hostServer("here")
	here := p.file("here.yaml", eight(fmt.Sprintf("url: %q, nkey: %q, hub: {domain: hub}", address, p.key(bus.Stage))))
	there := p.file("there.yaml", eight(fmt.Sprintf("url: %q, nkey: %q", p.url(), p.key(bus.Worker))))
	p.start("infer", there, "--host", "there")
	owner := p.start("preprocess", here)
	capture := p.start("ingest", here)
	p.fresh(3*awayFPS, time.Time{})
	before := memory(t, owner, capture)
	status := ""
	from, to, most := p.away(func() {
		out, err := exec.Command(p.bin, "status", "--server", address, "--nkey", p.key(bus.Operator)).CombinedOutput()
		if status = string(out); err != nil {
			t.Errorf("status: %v\n%s", err, out)
		}
	}, owner, capture)
	if !strings.Contains(status, "DEGRADED: the hub is away for ") {
		t.Errorf("status says nothing of the hub:\n%s", status)
	}
	p.fresh(2*awayFPS, to)
	back := time.Since(to)
	capture.stop()
	p.settled("preprocess", address, p.key(bus.Operator))
	frames, waited := p.checkHub(p.login(address, bus.Operator), from, to)
	t.Logf("hub away for %v: %d lossless frames, of which %d waited on the host, none lost; fresh results of all cameras %v after it was back; memory %d MiB before, at most %d MiB during",
		to.Sub(from).Round(time.Second), frames, waited, back.Round(time.Millisecond), before>>20, most>>20)
	checkMemory(t, before, most)
}

// checkHub compares what the hub has with what the host has, after an outage from
// one moment to another. It returns how many lossless frames there were in all,
// and meanwhile.
func (p *plant) checkHub(host *nats.Conn, from, to time.Time) (frames, meanwhile int) {
	t := p.t
	t.Helper()
	there, here := &plant{t: t, nc: p.login(p.url(), bus.Operator)}, &plant{t: t, nc: host}
	for i := range lossless + newest {
		id := camera(i)
		local := here.stored(id)
		p.await("the hub to have what the host has", func() bool { return there.storedCount(id) >= len(local) })
		out := there.stored(id)
		out = out[:min(len(out), len(local))]
		if !slices.Equal(ids(out), ids(local)) {
			t.Errorf("%s: %d results at the hub, %d on the host", id, len(out), len(local))
		}
		n := 0
		for _, d := range out {
			if d.CaptureTime.After(from) && d.CaptureTime.Before(to) {
				n++
			}
		}
		if i >= lossless {
			oldest := checkNewest(t, id, out)
			t.Logf("%s: %d results, %d of them captured meanwhile, the oldest %v when it was published", id, len(out), n, oldest.Round(time.Millisecond))
			if oldest > 5*time.Second {
				t.Errorf("%s: a result was %v old", id, oldest)
			}
			continue
		}
		if full := checkLossless(t, id, out); full > 0 {
			t.Errorf("%s: %d frames found no room", id, full)
		}
		if want := awayFPS * int(outage()/time.Second); n < want*8/10 {
			t.Errorf("%s: %d frames were captured meanwhile, want about %d", id, n, want)
		}
		frames, meanwhile = frames+len(out), meanwhile+n
	}
	return frames, meanwhile
}

// TestHubAwayFromRun: the same for vedette run, whose own server is the leaf node
// and which runs the models, too: on the host nobody notices, and who listens at
// the hub hears what is live again, and nothing of what was missed.
func TestHubAwayFromRun(t *testing.T) {
	p := hubPlant(t)
	store, address := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	run := p.start("run", p.file("here.yaml", eight(fmt.Sprintf("listen: %q, store: %q, hub: {url: \"nats-leaf://127.0.0.1:%d\", nkey: %q}", address, store, p.leafs, p.key(bus.Leaf)))))
	p.fresh(2*awayFPS, time.Time{})
	host, err := nats.Connect("nats://" + address) // on loopback everybody may subscribe
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	here := &plant{t: t, nc: host}
	here.hear()
	before := memory(t, run)
	operator := bus.KeyFile(store, bus.Operator)
	var away *pipeline.HubStatus
	from, to, most := p.away(func() {
		here.fresh(awayFPS, time.Now())
		away = p.said("nats://"+address, operator)["run"].Bus.Hub
	}, run)
	if away == nil || away.Connected || !strings.Contains(away.Reason, "cannot be reached") || away.Waiting == 0 {
		t.Fatalf("while the hub is away the status says %+v", away)
	}
	p.fresh(2*awayFPS, to)
	back := time.Since(to)
	p.mu.Lock()
	for _, d := range p.out {
		if d.CaptureTime.After(from.Add(time.Second)) && d.CaptureTime.Before(to.Add(-time.Second)) {
			t.Errorf("%s was heard at the hub, late", d.ID)
		}
	}
	p.mu.Unlock()
	frames, meanwhile := p.checkHub(p.loginWith("nats://"+address, operator, bus.Operator), from, to)
	t.Logf("hub away for %v: %d lossless frames, %d of them meanwhile, none lost; %d results waited for the hub; fresh ones of all cameras at the hub %v after it was back; memory %d MiB before, at most %d MiB during",
		to.Sub(from).Round(time.Second), frames, meanwhile, away.Waiting, back.Round(time.Millisecond), before>>20, most>>20)
	checkMemory(t, before, most)
}

// said is what instances say of themselves on a server, by their stage; nil: it
// cannot be asked.
func (p *plant) said(address, key string) map[string]pipeline.Status {
	args := []string{"status", "--format", "json", "--server", address}
	if key != "" {
		args = append(args, "--nkey", key)
	}
	cmd := exec.Command(p.bin, args...)
	cmd.Dir = p.dir // where no keys are
	out, err := cmd.Output()
	var all struct {
		Instances []struct {
			Data pipeline.Status `json:"data"`
		} `json:"instances"`
	}
	if err != nil || json.Unmarshal(out, &all) != nil {
		return nil
	}
	by := map[string]pipeline.Status{}
	for _, i := range all.Instances {
		by[i.Data.Stage] = i.Data
	}
	return by
}

// settled waits until an owner has nothing in flight and a hub, if there is one,
// has everything.
func (p *plant) settled(stage, address, key string) {
	p.t.Helper()
	p.await("nothing in flight, and nothing waiting for the hub", func() bool {
		said, ok := p.said(address, key)[stage]
		if h := said.Bus.Hub; !ok || (h != nil && (!h.Collects || h.Waiting > 0)) {
			return false
		}
		for _, c := range said.Cameras {
			for _, a := range c.Accounts {
				if a.InFlight > 0 {
					return false
				}
			}
		}
		return true
	})
}
