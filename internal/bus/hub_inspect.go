package bus

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/vedette-io/vedette"
)

// HubReport is what can be said of a hub without storing anything there.
type HubReport struct {
	Domain  string
	Version string // of its NATS server; empty: it does not say
	// Used and Most are the bytes that it stores, and may store; Most 0: no bound.
	Used, Most int64
}

// InspectHub connects to the hub of cfg as a host's server does, by another name,
// so that one that runs is not disturbed, and asks for its JetStream. The error
// says why it cannot be used. ctx bounds it.
func InspectHub(ctx context.Context, cfg Config, log *slog.Logger) (r HubReport, err error) {
	t := table{vedette.Subjects{Prefix: cfg.Prefix}}
	remote, err := t.remote(cfg.Hub)
	if err != nil {
		return r, err
	}
	remote.LocalAccount = "" // that which there is without any
	r.Domain = cfg.Hub.domain()
	for _, u := range remote.URLs {
		if r.Version = hubVersion(ctx, u.Scheme, u.Host); r.Version != "" {
			break
		}
	}
	if tooOld(r.Version) {
		return r, fmt.Errorf("%w (it is %s)", errHubOld, r.Version)
	}
	said := newServerLog(log)
	said.solicits = true
	s, err := server.NewServer(&server.Options{
		ServerName: "vedette-look-" + nuid.Next(), DontListen: true, NoSigs: true,
		ConnectErrorReports: 1, ReconnectErrorReports: 1,
		LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{remote}, ReconnectInterval: leafReconnect},
	})
	if err != nil {
		return r, fmt.Errorf("%w: hub: %w", ErrConfig, err)
	}
	s.SetLoggerV2(said, false, false, false)
	began := time.Now()
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for s.NumLeafNodes() == 0 {
		if why := said.whyAway(began); why != "" {
			return r, errors.New(why)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return r, errors.New(hubSilent)
		}
	}
	return r, r.ask(ctx, s)
}

// ask asks for the hub's JetStream through a server that is connected to it.
func (r *HubReport) ask(ctx context.Context, s *server.Server) error {
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.CustomInboxPrefix(Stage.Inbox()))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.NewWithDomain(nc, r.Domain)
	if err != nil {
		return err
	}
	for {
		one, cancel := context.WithTimeout(ctx, time.Second)
		info, err := js.AccountInfo(one)
		cancel()
		switch {
		case err == nil:
			r.Used, r.Most = int64(info.Store), max(info.Limits.MaxStore, 0)
			return nil
		case ctx.Err() != nil, !away(err):
			return errors.New(noHubDomain(r.Domain))
		}
		select {
		case <-time.After(100 * time.Millisecond): // what it takes is told to this side first
		case <-ctx.Done():
		}
	}
}

// hubVersion reads what a NATS server says of itself to who connects.
func hubVersion(ctx context.Context, scheme, address string) string {
	if scheme == "ws" || scheme == "wss" {
		return ""
	}
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	defer nc.Close()
	_ = nc.SetReadDeadline(time.Now().Add(2 * time.Second)) // it only bounds what follows
	line, err := bufio.NewReader(nc).ReadString('\n')
	var info struct {
		Version string `json:"version"`
	}
	text, ok := strings.CutPrefix(line, "INFO ")
	if err != nil || !ok || json.Unmarshal([]byte(text), &info) != nil {
		return ""
	}
	return info.Version
}

// tooOld reports a version before 2.10.
func tooOld(version string) bool {
	major, rest, ok := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(major)
	n, minorErr := strconv.Atoi(minor)
	return ok && cmp.Or(err, minorErr) == nil && (m < 2 || (m == 2 && n < 10))
}

// HubAnswers asks the hub behind the server of this host for its JetStream.
func (b *Bus) HubAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	_, err := b.plant().AccountInfo(ctx)
	if away(err) {
		return errors.New(noHubBehind(b.hub.domain))
	}
	return err
}
