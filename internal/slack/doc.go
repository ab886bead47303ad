// Package slack, where a program links it, lets the kernel wake the program's
// sleeping threads up to half a millisecond late.
//
// Go's runtime has a watchdog thread that sleeps for 20 µs at a time while a
// goroutine is in C, which in a pipeline is always: engines and decoders are
// C. At the kernel's default slack of 50 µs it is woken fourteen thousand times
// a second, in each capture process, too: with a small detector, a twentieth of
// the processor time of a frame and more. Waking it later costs nothing that matters here. What waits for data
// is woken by data, not by a timer, and a camera that is paced by timers is so
// to half a millisecond.
//
// The watchdog also is what takes the processor (P) from a goroutine that
// stays in C and gives it to one that waits. That now happens later, so a
// program that keeps all of Go's processors in C needs more of them; package
// pipeline sees to it.
//
// A thread's slack is set by itself or inherited. The watchdog starts before
// the first line of Go in the program, so a constructor in C sets it, for the
// thread that becomes the parent of all others.
package slack
