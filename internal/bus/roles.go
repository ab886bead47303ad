package bus

import (
	"slices"
	"strings"

	"github.com/vedette-io/vedette"
)

// Role is who somebody is on the bus. A role is a NATS user with an NKey, and
// what that user may publish and see is written in one table, from which come
// the embedded server and the configuration of an external one.
type Role string

// The roles.
const (
	// Stage is a stage of the pipeline, or all of them.
	Stage Role = "stage"
	// Worker is the infer stage on a host that need not be trusted with more.
	Worker Role = "worker"
	// Operator is who runs the plant: status, reload, streams.
	Operator Role = "operator"
	// Subscriber is a service that uses detections, events and results.
	Subscriber Role = "subscriber"
	// Leaf is the server on a camera's host, which is a leaf node of the plant's.
	Leaf Role = "leaf"
)

// Roles are all of them, in the order of the table.
func Roles() []Role { return []Role{Stage, Worker, Leaf, Operator, Subscriber} }

// Inbox is the prefix of the subjects on which a role gets its replies. It
// tells replies of different roles apart, so that none can read another's.
//
// Subscribers have the one that every NATS client uses unless told otherwise,
// so that any works as it is; they are in an account of their own.
func (r Role) Inbox() string {
	if r == Subscriber {
		return "_INBOX"
	}
	return "_INBOX_" + string(r)
}

// grant is what a role may do: the table's line.
type grant struct {
	role  Role
	about string
	// publish and subscribe are allowed, and what is not is refused; never is
	// refused although publish allows it.
	publish, never, subscribe []string
	// answers lets it publish on the reply subject of each request that it gets,
	// once.
	answers bool
}

// Consumers that stages keep on streams that subscribers read, by name. A
// subscriber who could name one could take its messages away.
func stageConsumers() []string { return []string{"track", "inspect", "sink"} }

// table makes the grants of a site.
type table struct{ s vedette.Subjects }

// anyDomain allows the same questions about streams of another JetStream domain,
// that of the plant's server where a camera host has one of its own.
func (g grant) anyDomain() grant {
	for _, subject := range g.publish {
		if rest, ok := strings.CutPrefix(subject, "$JS.API."); ok {
			g.publish = append(g.publish, "$JS.*.API."+rest)
		}
		if strings.HasPrefix(subject, "$KV.") {
			g.publish = append(g.publish, "$JS.*.API."+subject)
		}
	}
	return g
}

func (t table) stage() grant {
	s := t.s
	g := grant{
		role: Stage, about: "the pipeline, and each of its stages as a process of its own",
		publish: []string{
			s.Frame("*", "*"), s.Tensor("*", "*"), s.Work("*", "*", "*"), s.Detections(), s.StoreDetection("*", "*"), s.Track("*"), s.Events(), s.Results(), s.Trigger("*"), s.Statuses(),
			// Answers to other stages, and to who asks for the status or a reload.
			Stage.inboxes(), Operator.inboxes(),
			"$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.ACK.>", "$JS.FC.>",
		},
		subscribe: []string{
			s.Frame("*", ">"), s.Tensor("*", "*"), s.Detections(), s.Track("*"), s.Events(), s.Results(), s.Trigger("*"), s.Statuses(),
			s.Reload(), s.Service("*"), "$SRV.>",
			// vedette infer uses the worker's inbox, whatever its key.
			Stage.inboxes(), Worker.inboxes(),
		},
	}
	for _, kind := range []string{"detections", "events", "results", "triggers", "work"} {
		g.publish = append(g.publish, owns(s.Stream(kind))...)
	}
	// What is done with is removed.
	g.publish = append(g.publish, "$JS.API.STREAM.PURGE."+s.Stream("work"))
	// The configuration is the operators' to write.
	g.publish = append(g.publish, reads("KV_"+s.Bucket("config"))...)
	for _, kind := range []string{"runs", "leases", "track"} {
		g.publish = append(g.publish, owns("KV_"+s.Bucket(kind))...)
		g.publish = append(g.publish, "$KV."+s.Bucket(kind)+".>")
	}
	for _, kind := range []string{"models", "snapshots", "images"} {
		g.publish = append(g.publish, owns("OBJ_"+s.Bucket(kind))...)
		g.publish = append(g.publish, "$O."+s.Bucket(kind)+".>", "$JS.API.STREAM.PURGE.OBJ_"+s.Bucket(kind))
	}
	return g
}

func (t table) worker() grant {
	s := t.s
	return grant{
		role: Worker, about: "vedette infer on a host of its own: it runs models and answers, and sees no frames and no results",
		publish: slices.Concat([]string{s.Status("infer", "*"), "$JS.FC.>"},
			reads("OBJ_"+s.Bucket("models")), reads("KV_"+s.Bucket("config"))),
		subscribe: []string{s.Tensor("*", "*"), s.Statuses(), s.Reload(), s.Service("*"), "$SRV.>", Worker.inboxes()},
		answers:   true,
	}
}

// leaf is what the server on a camera's host may send to the hub, and get from
// it, for all who are logged in there.
func (t table) leaf() grant {
	s := t.s
	g := grant{
		role: Leaf, about: "the server on a camera's host, a leaf node: what its stages exchange with the plant",
		publish: []string{
			s.Tensor("*", "*"), s.Detections(), s.Track("*"), s.Events(), s.Results(), s.Statuses(),
			// Answers, to stages, to who asks for the status or a reload, and to the
			// hub's server, which collects what is stored.
			Stage.inboxes(), Operator.inboxes(), "$JSC.R.>", s.Gather("*") + ".>",
			"$JS.API.INFO", "$JS.ACK.>", "$JS.FC.>",
		},
		subscribe: []string{
			s.Tensor("*", "*"), s.Trigger("*"), s.Statuses(), s.Reload(), s.Service("*"), "$SRV.>", Stage.inboxes(), Worker.inboxes(),
			s.Pull("*", "*") + ".>", "$JS.*.API.>", "$JS.FC.>",
		},
	}
	g.publish = append(g.publish, owns(s.Stream("detections"))...)
	g.publish = append(g.publish, reads("KV_"+s.Bucket("config"))...) // the operators' to write
	g.publish = append(g.publish, owns("KV_"+s.Bucket("leases"))...)
	g.publish = append(g.publish, "$KV."+s.Bucket("leases")+".>")
	g.publish = append(g.publish, owns("OBJ_"+s.Bucket("models"))...)
	g.publish = append(g.publish, "$O."+s.Bucket("models")+".>", "$JS.API.STREAM.PURGE.OBJ_"+s.Bucket("models"))
	return g
}

func (t table) operator() grant {
	s := t.s
	return grant{
		role: Operator, about: "people who run the plant: status, reload, the streams; they publish no results either",
		publish: []string{
			s.Reload(), s.Service("*"), s.Trigger("*"), "$SRV.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>",
			"$KV." + s.Bucket("config") + ".>", "$KV." + s.Bucket("leases") + ".>", "$O." + s.Bucket("models") + ".>",
		},
		subscribe: []string{s.All(), "$SRV.>", "$JS.EVENT.ADVISORY.>", Operator.inboxes()},
	}
}

func (t table) subscriber() grant {
	g := grant{
		role: Subscriber, about: "services that use detections, events and results, live or from the streams",
		publish:   t.subscriberRequests(),
		subscribe: append(t.subscriberSees(), Subscriber.inboxes()),
	}
	for _, stream := range t.subscriberStreams() {
		for _, name := range stageConsumers() {
			g.never = append(g.never, consumer(stream, name)...)
		}
	}
	return g
}

// subscriberSees is what is published for subscribers.
func (t table) subscriberSees() []string {
	return []string{t.s.Detections(), t.s.Track("*"), t.s.Events(), t.s.Results()}
}

func (t table) subscriberStreams() []string {
	return []string{t.s.Stream("detections"), t.s.Stream("events"), t.s.Stream("results")}
}

// subscriberRequests is what a subscriber may ask the server. That every request
// names its consumer in the subject is why the oldest form of creating one,
// CONSUMER.CREATE.<stream>, is not among them: its name is in the body, where no
// permission sees it.
func (t table) subscriberRequests() []string {
	out := []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"}
	for _, stream := range t.subscriberStreams() {
		out = append(out, reads(stream)...)
		out = append(out, "$JS.API.CONSUMER.DURABLE.CREATE."+stream+".*")
		out = append(out, acks(stream, ">")...)
	}
	return out
}

// streamed reports whether a request of a subscriber has several answers.
func streamed(request string) bool {
	return strings.Contains(request, ".CONSUMER.MSG.NEXT.") || strings.Contains(request, ".DIRECT.GET.")
}

func (r Role) inboxes() string { return r.Inbox() + ".>" }

// reads is what it takes to read a stream: by number, or with consumers that
// the reader makes for itself.
func reads(stream string) []string {
	return []string{
		"$JS.API.STREAM.INFO." + stream, "$JS.API.STREAM.MSG.GET." + stream,
		"$JS.API.DIRECT.GET." + stream, "$JS.API.DIRECT.GET." + stream + ".>",
		"$JS.API.CONSUMER.CREATE." + stream + ".>", "$JS.API.CONSUMER.INFO." + stream + ".*",
		"$JS.API.CONSUMER.DELETE." + stream + ".*", "$JS.API.CONSUMER.MSG.NEXT." + stream + ".*",
	}
}

// owns is what it takes to make a stream, keep its limits up to date and read
// it. It cannot be emptied or deleted with that.
func owns(stream string) []string {
	return slices.Concat([]string{
		"$JS.API.STREAM.CREATE." + stream, "$JS.API.STREAM.UPDATE." + stream,
		"$JS.API.CONSUMER.CREATE." + stream, "$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".*",
	}, reads(stream))
}

// consumer is everything that can be done to one consumer.
func consumer(stream, name string) []string {
	return slices.Concat([]string{
		"$JS.API.CONSUMER.*." + stream + "." + name, "$JS.API.CONSUMER.*." + stream + "." + name + ".>",
		"$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name, "$JS.API.CONSUMER.DURABLE.CREATE." + stream + "." + name,
	}, acks(stream, name+".>"))
}

// acks are the subjects of acknowledgements and flow control of a stream's
// consumers, in the form of today and in the one with a domain and an account
// in front, which NATS is about to use (js_ack_fc_v2).
func acks(stream, rest string) []string {
	return []string{
		"$JS.ACK." + stream + "." + rest, "$JS.ACK.*.*." + stream + "." + rest,
		"$JS.FC." + stream + "." + rest, "$JS.FC.*.*." + stream + "." + rest,
	}
}
