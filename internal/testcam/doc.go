// Package testcam is cameras made for tests and benchmarks: an RTSP server
// ([Camera]), an MJPEG server over HTTP ([MJPEG]) and a port that accepts and
// says nothing ([BlackHole]). They send numbered pictures (package barcode) in
// real time from 127.0.0.1 and fail on command: they freeze, die and come
// back, answer nothing, change their resolution, send garbage, lose packets.
//
// All methods are safe for concurrent use. Close is idempotent and leaves no
// goroutine, process or socket behind. A camera keeps its port for itself
// until Close, also while it is dead: dialling it is refused and no other
// program gets it.
package testcam
