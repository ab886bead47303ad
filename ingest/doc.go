// Package ingest captures the pictures of one camera: a video file, pictures,
// an RTSP or HTTP stream, a device, a GStreamer pipeline or a generator.
//
// # Processes
//
// Each camera is captured in a child process of its own, the same binary
// started again ([IsChild], [ChildMain]), because OpenCV can block for ever in
// a read, can abort its process, and takes FFmpeg's options process-wide. A
// [Camera] is the supervisor: it starts the child, gives it the source through
// a pipe (never in arguments or environment, where others could read a
// password), watches that it says something every [Config.Silence], kills it
// when it does not, and starts another with a growing pause.
//
// Pictures do not pass through the parent. The child writes each into a slot
// of a shared-memory ring (package internal/ring) and announces it; the parent
// keeps the ring open, so that what was announced stays readable when the
// child dies, and hands a [vedette.Frame] with the reference to its [Output].
//
// # Secrets
//
// Cameras take passwords in the user part, the path and the query of their
// address, in forms nobody can list. So a [Source] shows of its address only
// what a vocabulary knows to be harmless and masks everything else, also in
// texts that come from elsewhere (FFmpeg's messages, a child's last words), and
// there in all the usual encodings.
//
// # Names and counts
//
// A live source gets a new epoch with each connection. A file, or a list of
// pictures, keeps one epoch for its whole run: when its child dies, the next
// one skips what was announced and goes on with the next seq, so that no seq
// is lost and none comes twice. Every decoded frame has a seq, also those that
// are left out because [Config.FPS] asks for fewer ([vedette.Frame.Sampled]).
//
// A change of resolution in mid-stream keeps the epoch: frames carry their own
// size. A new ring is made when the slots of the old one are too small.
package ingest
