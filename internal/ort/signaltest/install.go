//go:build cgo

package signaltest

/*
#include <signal.h>

static struct sigaction before[65];

// pass_on leaves the signal to the handler that was there before, on the stack
// that it was called on.
static void pass_on(int sig, siginfo_t *info, void *context) {
	if (before[sig].sa_flags & SA_SIGINFO)
		before[sig].sa_sigaction(sig, info, context);
	else if (before[sig].sa_handler != SIG_DFL && before[sig].sa_handler != SIG_IGN)
		before[sig].sa_handler(sig);
}

static int install(int sig) {
	struct sigaction act = {0};
	act.sa_sigaction = pass_on;
	act.sa_flags = SA_SIGINFO | SA_RESTART; // and no SA_ONSTACK
	return sigaction(sig, &act, &before[sig]);
}
*/
import "C"

import "syscall"

// Install replaces the handler of a signal by one without SA_ONSTACK that
// passes the signal on, and reports whether that worked.
func Install(s syscall.Signal) bool { return C.install(C.int(s)) == 0 }
