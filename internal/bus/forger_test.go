package bus_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette/internal/bus"
)

// testReads reads stored and live detections in every way that NATS clients
// have, with a client that knows nothing of roles.
func testReads(t *testing.T, p plant, who string) {
	stage := p.bus(t, bus.Stage)
	w := writer(t, stage)
	camera := "reads-" + who
	mustWrite(t, w, camera, upTo(50)...)
	subject := stage.Subjects().Detection(camera, "*")
	nc := p.connect(t, who)
	live, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "VEDETTE_DETECTIONS")
	if err != nil {
		t.Fatal(err)
	}
	ordered, err := s.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, err := ordered.Next(jetstream.FetchMaxWait(10 * time.Second)); err != nil {
			t.Fatalf("ordered, %d: %v", i, err)
		}
	}
	durable, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: camera, FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := durable.Fetch(50, jetstream.FetchMaxWait(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range batch.Messages() {
		n++
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatalf("acknowledge %d: %v", n, err)
		}
	}
	if n != 50 {
		t.Errorf("fetched %d of 50: %v", n, batch.Error())
	}
	if err := s.DeleteConsumer(t.Context(), camera); err != nil {
		t.Error(err)
	}
	if m, err := s.GetLastMsgForSubject(t.Context(), stage.Subjects().Detection(camera, "yolox-nano")); err != nil || len(m.Data) == 0 {
		t.Errorf("the last message: %v, %v", m, err)
	}
	testReadsPushed(t, nc, subject)
	mustWrite(t, w, camera, 50)
	if _, err := live.NextMsg(10 * time.Second); err != nil {
		t.Errorf("live: %v", err)
	}
}

// testReadsPushed has the server send to an inbox, as the older clients do.
func testReadsPushed(t *testing.T, nc *nats.Conn, subject string) {
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := js.SubscribeSync(subject, nats.OrderedConsumer(), nats.BindStream("VEDETTE_DETECTIONS"), nats.EnableFlowControl(), nats.IdleHeartbeat(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, err := sub.NextMsg(10 * time.Second); err != nil {
			t.Fatalf("pushed, %d: %v", i, err)
		}
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Error(err)
	}
}

// targets are where a forger would like to have something arrive.
var targets = []string{
	"vedette.detection.gate.forged", "vedette.event.gate.object.forged", "vedette.result.forged", "vedette.control.reload",
	"vedette.tensor.m.i", "vedette.frame.h.gate", "vedette.status.run.i", "_INBOX_operator.x", "_INBOX_stage.x", "$KV.vedette_runs.gate",
}

// testForger asks what it may ask, with replies where it may not publish: the
// server answers there without looking whether the asker could. Nothing of it
// may reach the plant.
func testForger(t *testing.T, p plant, who string) {
	stage, operator := p.bus(t, bus.Stage), p.bus(t, bus.Operator)
	mustWrite(t, writer(t, stage), "gate", 0, 1)
	js, err := jetstream.New(operator.Conn())
	if err != nil {
		t.Fatal(err)
	}
	before := subjects(t, js)
	// What a stage listens to, and what a spy sees who may see all of it.
	var reached atomic.Int64
	listen(t, stage, &reached)
	spy, err := operator.Conn().SubscribeSync("vedette.>")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := operator.Conn().SubscribeSync("_INBOX_operator.x")
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.Conn().Flush(); err != nil {
		t.Fatal(err)
	}

	nc := p.connect(t, who)
	for i, target := range targets {
		forge(t, nc, fmt.Sprintf("%s-%d", who, i), target)
	}
	// A last message of the stage comes behind whatever the forger caused.
	if err := stage.Publish("vedette.status.run.end", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := spy.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == "vedette.status.run.end" {
			break
		}
		sentOn(t, who, m)
	}
	for m, err := inbox.NextMsg(time.Millisecond); err == nil; m, err = inbox.NextMsg(time.Millisecond) {
		sentOn(t, who, m)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached a stage", n)
	}
	if after := subjects(t, js); !maps.Equal(before, after) {
		t.Errorf("the stream held %v, and holds %v", before, after)
	}
}

// sentOn checks that a message is a stored detection that the server was told to
// send elsewhere, which a subscriber may do. It keeps its own subject, so that
// who did not subscribe to that can tell, and the reply of a consumer.
func sentOn(t *testing.T, who string, m *nats.Msg) {
	t.Helper()
	if !strings.HasPrefix(m.Reply, "$JS.ACK.") || !strings.HasSuffix(m.Subject, ".yolox-nano") || !strings.HasPrefix(m.Subject, "vedette.detection.") {
		t.Errorf("%s had %q arrive on %s", who, m.Data, m.Subject)
	}
}

// listen is for what a stage takes.
func listen(t *testing.T, stage *bus.Bus, reached *atomic.Int64) {
	t.Helper()
	reload, err := stage.AnswerAll("vedette.control.reload", func([]byte) []byte { reached.Add(1); return nil })
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := stage.Serve("vedette.tensor.m.i", "H", func(_ string, _ []byte, respond func([]byte) error) { reached.Add(1); _ = respond(nil) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reload(); err != nil {
			t.Error(err)
		}
		if err := tensors(); err != nil {
			t.Error(err)
		}
	})
}

// forge tries everything with one target.
func forge(t *testing.T, nc *nats.Conn, name, target string) {
	t.Helper()
	const stream = "VEDETTE_DETECTIONS"
	ask := func(subject, body string) {
		if err := nc.PublishRequest(subject, target, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	ask("$JS.API.STREAM.INFO."+stream, "")
	ask("$JS.API.STREAM.NAMES", "")
	ask("$JS.API.DIRECT.GET."+stream, `{"seq":1}`)
	ask("$JS.API.DIRECT.GET."+stream, `{"batch":10,"seq":1}`)
	ask("$JS.API.STREAM.MSG.GET."+stream, `{"seq":1}`)
	pull := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"pull-%s","ack_policy":"none","mem_storage":true}}`, stream, name)
	ask("$JS.API.CONSUMER.CREATE."+stream+".pull-"+name, pull)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	ask("$JS.API.CONSUMER.MSG.NEXT."+stream+".pull-"+name, `{"batch":10,"no_wait":true}`)
	push := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"push-%s","ack_policy":"none","mem_storage":true,"deliver_policy":"last","deliver_subject":%q}}`, stream, name, target)
	created, err := nc.Request("$JS.API.CONSUMER.CREATE."+stream+".push-"+name, []byte(push), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if refused := bytes.Contains(created.Data, []byte(`"error"`)); refused != strings.HasPrefix(target, "vedette.detection.") {
		t.Errorf("a consumer that delivers to %s: %s", target, created.Data)
	}
	// By now the server has answered what came before: it does so in order. What a
	// consumer delivers comes when it finds somebody who listens.
	if _, err := nc.Request("$JS.API.CONSUMER.INFO."+stream+".push-"+name, nil, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"pull-", "push-"} {
		if _, err := nc.Request("$JS.API.CONSUMER.DELETE."+stream+"."+kind+name, nil, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// subjects counts the messages of every stream by subject.
func subjects(t *testing.T, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for _, subject := range slices.Collect(maps.Keys(info.State.Subjects)) {
			all[name+" "+subject] = info.State.Subjects[subject]
		}
	}
	return all
}
