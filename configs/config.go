// Package configs reads the configuration file: it checks all of it and
// reports everything that is wrong at once, each with its place and what is
// allowed instead. It knows no stage; the pipeline translates what it reads.
//
// Every key has a default but a camera's id and source. Text values may hold
// ${NAME}, which stands for an environment variable; $${ is a plain ${. Paths
// are relative to the folder the program runs in.
package configs

// Config is the configuration of a site.
type Config struct {
	// Id of the site, in every message: a-z, 0-9, _ and -.
	Site string `yaml:"site" jsonschema:"pattern=^[a-z0-9_-]{1\\,64}$,default=local"`
	// The NATS server that everything goes through.
	Bus Bus `yaml:"bus"`
	// The web server for metrics and health.
	HTTP HTTP `yaml:"http"`
	// The networks that cameras can use; not given: pcb-defects alone, which is
	// part of the program.
	Models []Model `yaml:"models"`
	// The cameras, files and other sources of pictures.
	Cameras []Camera `yaml:"cameras" jsonschema:"required,minItems=1"`
	// For how long detections are kept.
	Retention Retention `yaml:"retention"`
	// Where results go besides the bus. There are none yet: leave it empty.
	Sinks []any `yaml:"sinks" jsonschema:"maxItems=0"`
}

// Bus is the NATS server.
type Bus struct {
	// Address of an external server, or several separated by commas, such as
	// nats://10.0.0.2:4222; empty starts a server inside the program.
	URL string `yaml:"url"`
	// Address at which the server inside the program listens; empty: for nobody
	// outside the program. On loopback, programs without a key may subscribe;
	// elsewhere everybody needs one, from the folder keys in store.
	Listen string `yaml:"listen" jsonschema:"default=127.0.0.1:4222"`
	// Folder of the server inside the program, relative to the working directory, not
	// to this file; empty: a temporary one.
	Store string `yaml:"store" jsonschema:"default=./vedette-data"`
	// How much that folder may hold.
	MaxStore Size `yaml:"max_store" jsonschema:"default=10GiB"`
	// How much of it may be lossless frames of live cameras that wait for
	// inference. What comes when it is full has failed, with the reason spool_full.
	Spool Size `yaml:"spool" jsonschema:"default=4GiB"`
	// Quality, 1 to 100, of the JPEGs in which model-sized pictures go to workers on
	// other hosts, a tenth of the bytes and a little less exact; 0: as they are. On
	// one host they stay in memory.
	JPEG int `yaml:"jpeg" jsonschema:"minimum=0,maximum=100,default=0"`
	// How often it is forced to the disk. always: before a result counts as
	// stored, so that a power cut takes none; a time span: so often, and a power
	// cut can take what came since.
	Sync Sync `yaml:"sync" jsonschema:"default=1s"`
	// First part of every subject, so that sites can share a bus.
	Prefix string `yaml:"prefix" jsonschema:"default=vedette"`
	// Name at the external server.
	User string `yaml:"user"`
	// Password at the external server; write ${NAME} and keep it out of the file.
	Password string `yaml:"password"`
	// File with the NKey seed for the external server. This and the other files with
	// keys and certificates are relative to this file.
	NKey string `yaml:"nkey"`
	// File with the credentials for the external server.
	Creds string `yaml:"creds"`
	// First part of reply subjects; empty: that of the role. For an external
	// server with permissions of its own.
	Inbox string `yaml:"inbox"`
	// JetStream domain of the server that keeps the streams, where it is not the one
	// of url but one behind it (a leaf node on the camera's host).
	Domain string `yaml:"domain"`
	// File with a certificate authority: that of the external server; or, for the
	// server inside the program, the one that signed its clients' certificates,
	// which they then have to show.
	CA string `yaml:"ca"`
	// File with a certificate: for the external server if it asks for one; or that
	// of the server inside the program, which then speaks TLS.
	Cert string `yaml:"cert"`
	// File with the key of the certificate.
	Key string `yaml:"key"`
	// The plant's server, where this host has one of its own: what the host stores
	// stays on it, also while the hub is away, and the hub collects the detections.
	Hub Hub `yaml:"hub"`
	// Address at which the server inside the program, itself a hub, takes the servers
	// of camera hosts, such as 0.0.0.0:7422; empty: none.
	Leafs string `yaml:"leafs"`
}

// Hub is the plant's server, of which this host's is a leaf node.
type Hub struct {
	// Address of its listener for leaf nodes, or several separated by commas, such as
	// nats-leaf://10.0.0.2:7422 or tls://hub:7422, with user:password@ where it wants
	// that. Empty: there is no hub, or the server of bus.url connects to it by itself.
	URL string `yaml:"url"`
	// File with the NKey seed for the hub: that of the role leaf.
	NKey string `yaml:"nkey"`
	// File with the credentials for the hub.
	Creds string `yaml:"creds"`
	// File with the certificate authority of the hub.
	CA string `yaml:"ca"`
	// File with a certificate, if the hub asks for one.
	Cert string `yaml:"cert"`
	// File with the key of the certificate.
	Key string `yaml:"key"`
	// JetStream domain of the hub; empty: hub.
	Domain string `yaml:"domain"`
}

// HTTP is the web server.
type HTTP struct {
	// Address at which it listens; empty: it does not.
	Listen string `yaml:"listen" jsonschema:"default=127.0.0.1:8080"`
}

// Model is a network and how to run it.
type Model struct {
	// Id of the model, in subjects and messages.
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9_-]{1\\,64}$"`
	// The ONNX file, its manifest, or a folder with them, relative to this file;
	// empty: the model of that name in the folder models of the working directory
	// or pulled by "vedette models pull".
	File string `yaml:"file"`
	// The inference engine; auto is onnxruntime when its library is found.
	Engine Engine `yaml:"engine" jsonschema:"default=auto"`
	// auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N or openvino. One that is
	// named and missing is an error; auto falls back to the CPU.
	Device string `yaml:"device" jsonschema:"default=auto,pattern=^(auto|cpu|openvino|(cuda|tensorrt)(:[0-9]{1\\,2})?)$"`
	// How many runs are made at once; 0: one per core, or two on a GPU.
	Workers int `yaml:"workers" jsonschema:"minimum=0,maximum=256"`
	// Threads of one inference; 0: 1. Workers times threads should not exceed
	// the cores.
	Threads int `yaml:"threads" jsonschema:"minimum=0,maximum=256"`
	// How long one inference may take before it has failed; 0: the default.
	Timeout Duration `yaml:"timeout" jsonschema:"default=0s"`
	// Part of the processor or GPU that the model gets when several models on it
	// are busy: with twice the weight, twice the time. What one leaves, the
	// others get.
	Weight float64 `yaml:"weight" jsonschema:"minimum=0.01,maximum=100,default=1"`
	// How pictures are put together to be inferred in one run.
	Batch Batch `yaml:"batch"`
	// The most that the model may take of a GPU's memory; 0: what it needs.
	GPUMemory Size `yaml:"gpu_memory" jsonschema:"default=0"`
}

// Batch is how pictures are put together to be inferred in one run.
type Batch struct {
	// The numbers of pictures to prepare for, ascending; a run with fewer is
	// filled up to the next. Empty: 1, 2, 4, 8 and 16 on a GPU and 1 on a
	// processor, which gains nothing by more. A model whose file fixes the number
	// has that one only.
	Sizes []int `yaml:"sizes"`
	// How long the first picture waits for others.
	MaxWait Duration `yaml:"max_wait" jsonschema:"default=5ms"`
}

// Camera is one source of pictures and what to look for in it.
type Camera struct {
	// Id of the camera, in subjects and messages.
	ID string `yaml:"id" jsonschema:"required,pattern=^[a-z0-9_-]{1\\,64}$"`
	// rtsp://, rtsps://, http:// or https:// (MJPEG), a video file, a picture, a
	// folder or glob of pictures, a device number, gstreamer:PIPELINE,
	// synthetic://bars or synthetic://line. A path is relative to this file. Write
	// a password as ${NAME}.
	Source string `yaml:"source" jsonschema:"required"`
	// latest: the newest frame wins and old ones are dropped; every: no frame is
	// lost and each has exactly one result.
	Delivery Delivery `yaml:"delivery" jsonschema:"default=latest"`
	// What to look for; empty: everything that the only model knows.
	Detect []Detect `yaml:"detect"`
	// The motion gate: pictures in which nothing moves are not inferred.
	Motion Motion `yaml:"motion"`
	// The check whether a picture can be judged at all.
	Fitness Fitness `yaml:"fitness"`
	// Transport of RTSP.
	Transport Transport `yaml:"transport" jsonschema:"default=tcp"`
	// Who decodes the video; auto takes hardware if there is any.
	Decode Decode `yaml:"decode" jsonschema:"default=software"`
	// When to give up waiting for the camera.
	Timeouts Timeouts `yaml:"timeouts"`
	// What the process that captures from this camera may take.
	Capture Capture `yaml:"capture"`
}

// Detect is one model's work for a camera.
type Detect struct {
	// Name of a model; empty: the only one.
	Model string `yaml:"model"`
	// How many frames a second are looked at; 0: all of them.
	FPS float64 `yaml:"fps" jsonschema:"minimum=0,maximum=240"`
	// Drop what scores less; 0: the model's own.
	MinScore float64 `yaml:"min_score" jsonschema:"minimum=0,maximum=1"`
	// Keep only these; empty: all.
	Labels []string `yaml:"labels"`
}

// Motion is the motion gate.
type Motion struct {
	// Whether still pictures are left out.
	Enabled bool `yaml:"enabled"`
	// By how many of 255 grey levels a spot must differ from the background.
	Threshold float64 `yaml:"threshold" jsonschema:"minimum=1,maximum=254,default=16"`
	// Share of the picture that must change.
	MinArea float64 `yaml:"min_area" jsonschema:"minimum=0,maximum=0.99,default=0.0006"`
	// How long the gate stays open after the last motion.
	Hold Duration `yaml:"hold" jsonschema:"default=3s"`
	// How long until the background takes up what stays.
	Adapt Duration `yaml:"adapt" jsonschema:"default=10s"`
}

// Fitness is the check whether a picture can be judged. A value of 0 turns its
// part off.
type Fitness struct {
	// Whether pictures are checked; not given: those of live sources are.
	Enabled *bool `yaml:"enabled"`
	// Grey level (of 255) that nearly nothing exceeds in a black picture.
	Black float64 `yaml:"black" jsonschema:"minimum=0,maximum=254,default=14"`
	// Contrast in grey levels that a covered picture has nowhere.
	Covered float64 `yaml:"covered" jsonschema:"minimum=0,maximum=254,default=4"`
	// Sharpness below which a picture is blurred.
	Blurred float64 `yaml:"blurred" jsonschema:"minimum=0,maximum=0.99,default=0.24"`
	// For how long a picture must be covered or blurred to count.
	Settle Duration `yaml:"settle" jsonschema:"default=1s"`
	// For how long exactly the same picture must repeat to count as frozen.
	Frozen Duration `yaml:"frozen" jsonschema:"default=2.5s"`
}

// Capture limits the process that captures from a camera, so that a leak or an
// endless loop in a decoder costs that camera a restart and others nothing.
type Capture struct {
	// Memory of its own, without the ring of pictures. At three quarters of it
	// the process is replaced by a fresh one, without a gap where the camera
	// serves two at once; beyond it the process is ended. 0: 128 MiB and 80
	// bytes for each pixel (286 MiB for 1080p), for each further decoder thread
	// 8 more, and 512 MiB more with hardware decoding or GStreamer; 1.5 GiB for
	// pictures.
	Memory Size `yaml:"memory" jsonschema:"default=0"`
	// How many processors it may use, on average. Beyond that other processes
	// go first, and if it lasts it is replaced by a fresh one; files get no more
	// decoder threads than that. 0: 2 for cameras, no limit for files and
	// GStreamer pipelines, which use what there is.
	CPU float64 `yaml:"cpu" jsonschema:"minimum=0,maximum=1024,default=0"`
	// Memory of the ring of pictures. That of a lossless camera bridges a restart
	// of whoever takes its frames: at 25 frames a second 128 MiB are 0.8 s of
	// 1080p, and 2.5 s of 720p and below. 0: 128 MiB for lossless cameras; others
	// take six pictures.
	Ring Size `yaml:"ring" jsonschema:"default=0"`
}

// Timeouts say when to give up waiting for a camera and start over.
type Timeouts struct {
	// For the connection. One that accepts and never answers is told of within
	// silence.
	Open Duration `yaml:"open" jsonschema:"default=8s"`
	// For the first picture after that; some cameras send a key frame only
	// every ten seconds.
	FirstFrame Duration `yaml:"first_frame" jsonschema:"default=15s"`
	// Between two frames.
	Silence Duration `yaml:"silence" jsonschema:"default=3s"`
}

// Retention is for how long what is published is kept, per kind. So far there are
// detections.
type Retention struct {
	// What was seen in each frame.
	Detections Limit `yaml:"detections"`
	// Events made of detections. There are none yet: it has no effect.
	Events Limit `yaml:"events"`
	// Verdicts of inspection stations. There are none yet: it has no effect, and
	// what was found in each part is in detections.
	Results Limit `yaml:"results"`
	// Pictures of events. There are none yet: it has no effect.
	Snapshots Limit `yaml:"snapshots"`
}

// Limit ends what is older or beyond a size.
type Limit struct {
	// The oldest that is kept.
	Age Duration `yaml:"age"`
	// The most that is kept.
	Bytes Size `yaml:"bytes"`
	// On how many servers of a cluster; 0: three, or one where there is no cluster.
	Replicas int `yaml:"replicas" jsonschema:"minimum=0,maximum=5"`
}
