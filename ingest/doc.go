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
// when it does not, and starts another with a growing pause. While a camera is
// away the next child stands ready, so that many that come back together need
// not wait for each other's start.
//
// Pictures do not pass through the parent. The child writes each into a slot
// of a shared-memory ring (package internal/ring) and announces it; the parent
// keeps the ring open, so that what was announced stays readable when the
// child dies, and hands a [vedette.Frame] with the reference to its [Output].
//
// # Limits
//
// A decoder can leak, and a stream can make it loop. What a child takes is
// looked at every second, without privileges and without control groups:
//
//   - Memory of its own (the ring is not counted) at three quarters of
//     [Config.Memory] leads to a planned restart. Of a live source another
//     child opens it beside the first and takes over with its first picture,
//     so that nothing is missed; what came before that is left to the first
//     one. A camera that serves one reader at a time is connected anew, with
//     the gap that takes. A file is read on by the next child behind the last
//     frame. [State.Reason] says so and [State.Planned] counts.
//   - Beyond the limit the child is killed and another one started, with a
//     growing pause. The kernel bounds what it can allocate (RLIMIT_DATA, some
//     300 MB later, as reserved memory counts), so that a runaway allocation
//     ends the child and not the host, and takes it first when the host is
//     out of memory. Hardware decoders and GStreamer's plug-ins reserve what
//     nobody knows: there only the parent watches.
//   - Beyond [Config.CPU], on an average of 5 s, the child's priority is
//     lowered, so that it takes only what others leave; after 15 s it is
//     replaced as above, at most once in ten minutes. It is no hard bound.
//
// A child that needs more than that when it is fresh is not replaced for it; a
// warning says so. A child never outlives its parent, whatever either of them
// is doing: its input ends, and the kernel kills it.
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
