package pipeline

import (
	"runtime"
	"sync"
)

// cores is how many processors this process may use: what Go says before
// [besides] asks for more of its own.
var cores = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// besides lets Go run as many goroutines at a time besides n workers as it would
// without them. A worker is in the engine's C code nearly always, and as long as
// the processor (P) that it brought there is not taken from it, nothing else can
// use it: with one worker a core everything else in the process would wait for
// the runtime to notice.
func besides(n int) {
	if want := cores() + n; runtime.GOMAXPROCS(0) < want {
		runtime.GOMAXPROCS(want)
	}
}
