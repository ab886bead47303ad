package bus_test

// rights is what each role may do: the table that the permissions have to
// fulfil, written down a second time.
var rights = []struct {
	what    string
	do      string // pub or sub
	subject string
	allowed string // roles, by first letter; A is anonymous
}{
	{"publish a frame", "pub", "vedette.frame.h.gate", "s"},
	{"publish a tensor", "pub", "vedette.tensor.m.i", "s"},
	{"publish a detection", "pub", "vedette.detection.gate.m", "s"},
	{"publish a track", "pub", "vedette.track.gate", "s"},
	{"publish an event", "pub", "vedette.event.gate.object.person", "s"},
	{"publish a result", "pub", "vedette.result.station", "s"},
	{"publish a trigger", "pub", "vedette.trigger.station", "so"},
	{"publish the status of a worker", "pub", "vedette.status.infer.i", "sw"},
	{"publish the status of another stage", "pub", "vedette.status.ingest.i", "s"},
	{"ask for a reload", "pub", "vedette.control.reload", "o"},
	{"ask an instance", "pub", "vedette.service.i", "o"},
	{"ask for statistics", "pub", "$SRV.STATS.vedette", "o"},
	{"publish something else", "pub", "other.subject", ""},
	{"publish for another site", "pub", "other.detection.gate.m", ""},

	{"see frames", "sub", "vedette.frame.>", "o"}, // stages see those of a host
	{"see the frames of a host", "sub", "vedette.frame.h.>", "so"},
	{"see tensors", "sub", "vedette.tensor.m.i", "swo"},
	{"see detections", "sub", "vedette.detection.>", "soUA"},
	{"see one camera's detections", "sub", "vedette.detection.gate.*", "soUA"},
	{"see tracks", "sub", "vedette.track.*", "soUA"},
	{"see events", "sub", "vedette.event.>", "soUA"},
	{"see results", "sub", "vedette.result.>", "soUA"},
	{"see work", "sub", "vedette.work.>", "o"},
	{"see the status", "sub", "vedette.status.>", "swo"},
	{"take reloads", "sub", "vedette.control.reload", "swo"},
	{"see everything of the site", "sub", "vedette.>", "o"},
	{"see everything", "sub", ">", ""},
	{"see the server's own", "sub", "$SYS.>", ""},
	{"see what the server reports of streams", "sub", "$JS.EVENT.ADVISORY.>", "o"},

	{"answer a stage", "pub", "_INBOX_stage.a.b", "s"},
	{"answer a worker", "pub", "_INBOX_worker.a.b", ""},
	{"answer an operator", "pub", "_INBOX_operator.a.b", "s"},
	{"answer a subscriber", "pub", "_INBOX.a.b", ""},
	{"read a stage's replies", "sub", "_INBOX_stage.>", "s"},
	{"read a worker's replies", "sub", "_INBOX_worker.>", "sw"}, // a worker may have a stage's key
	{"read an operator's replies", "sub", "_INBOX_operator.>", "o"},
	{"read a subscriber's replies", "sub", "_INBOX.>", "UA"},

	{"ask about the detections' stream", "pub", "$JS.API.STREAM.INFO.VEDETTE_DETECTIONS", "soUA"},
	{"read a stored detection", "pub", "$JS.API.DIRECT.GET.VEDETTE_DETECTIONS.vedette.detection.gate.m", "soUA"},
	{"make a consumer", "pub", "$JS.API.CONSUMER.CREATE.VEDETTE_DETECTIONS.x.vedette.detection.>", "soUA"},
	{"make a durable consumer", "pub", "$JS.API.CONSUMER.DURABLE.CREATE.VEDETTE_EVENTS.x", "soUA"},
	{"make a consumer that the subject does not name", "pub", "$JS.API.CONSUMER.CREATE.VEDETTE_DETECTIONS", "so"},
	{"read with it", "pub", "$JS.API.CONSUMER.MSG.NEXT.VEDETTE_RESULTS.x", "soUA"},
	{"make a consumer that is a stage's", "pub", "$JS.API.CONSUMER.CREATE.VEDETTE_DETECTIONS.track.vedette.detection.>", "so"},
	{"read with a stage's consumer", "pub", "$JS.API.CONSUMER.MSG.NEXT.VEDETTE_DETECTIONS.track", "so"},
	{"remove a stage's consumer", "pub", "$JS.API.CONSUMER.DELETE.VEDETTE_DETECTIONS.track", "so"},
	{"acknowledge", "pub", "$JS.ACK.VEDETTE_DETECTIONS.x.1.1.1.1.1", "soUA"},
	{"acknowledge in the new form", "pub", "$JS.ACK._.hash.VEDETTE_DETECTIONS.x.1.1.1.1.1", "soUA"},
	{"acknowledge for a stage", "pub", "$JS.ACK.VEDETTE_DETECTIONS.track.1.1.1.1.1", "so"},
	{"acknowledge work", "pub", "$JS.ACK.VEDETTE_WORK.x.1.1.1.1.1", "so"},
	{"list the streams", "pub", "$JS.API.STREAM.NAMES", "soUA"},
	{"make the stream", "pub", "$JS.API.STREAM.CREATE.VEDETTE_DETECTIONS", "so"},
	{"make another stream", "pub", "$JS.API.STREAM.CREATE.OTHER", "o"},
	{"change the stream", "pub", "$JS.API.STREAM.UPDATE.VEDETTE_DETECTIONS", "so"},
	{"empty the stream", "pub", "$JS.API.STREAM.PURGE.VEDETTE_DETECTIONS", "o"},
	{"delete the stream", "pub", "$JS.API.STREAM.DELETE.VEDETTE_DETECTIONS", "o"},
	{"delete a message", "pub", "$JS.API.STREAM.MSG.DELETE.VEDETTE_DETECTIONS", "o"},
	{"copy the stream", "pub", "$JS.API.STREAM.SNAPSHOT.VEDETTE_DETECTIONS", "o"},
	{"read the work", "pub", "$JS.API.CONSUMER.CREATE.VEDETTE_WORK.x", "so"},

	{"read the configuration", "pub", "$JS.API.DIRECT.GET.KV_vedette_config.$KV.vedette_config.a", "swo"},
	{"read the configuration with a consumer", "pub", "$JS.API.CONSUMER.CREATE.KV_vedette_config.x.$KV.vedette_config.>", "swo"},
	{"write the configuration", "pub", "$KV.vedette_config.a", "o"},
	{"make the bucket of configurations", "pub", "$JS.API.STREAM.CREATE.KV_vedette_config", "o"},
	{"delete a configuration", "pub", "$JS.API.STREAM.MSG.DELETE.KV_vedette_config", "o"},
	{"see changes of the configuration", "sub", "$KV.vedette_config.>", ""},
	{"write how far a file was read", "pub", "$KV.vedette_runs.gate", "s"},
	{"read a model", "pub", "$JS.API.DIRECT.GET.OBJ_vedette_models.$O.vedette_models.M.a", "swo"},
	{"write a model", "pub", "$O.vedette_models.M.a", "so"},
	{"read a snapshot", "pub", "$JS.API.DIRECT.GET.OBJ_vedette_snapshots.a", "so"},

	{"ask the server", "pub", "$SYS.REQ.SERVER.PING", ""},
	{"ask about an account", "pub", "$SYS.REQ.ACCOUNT.VEDETTE.CONNZ", ""},
	{"ask about a stream in another domain", "pub", "$JS.hub.API.STREAM.INFO.VEDETTE_DETECTIONS", "so"},
	{"empty a stream in another domain", "pub", "$JS.hub.API.STREAM.PURGE.VEDETTE_DETECTIONS", "o"},
	{"read the configuration in another domain", "pub", "$JS.hub.API.DIRECT.GET.KV_vedette_config.a", "swo"},
	{"step a leader down", "pub", "$JS.API.META.LEADER.STEPDOWN", "o"},
}
