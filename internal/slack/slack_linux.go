//go:build cgo && linux

package slack

/*
#include <sys/prctl.h>

__attribute__((constructor, used)) static void vedette_slack(void) {
	prctl(PR_SET_TIMERSLACK, 500000UL, 0UL, 0UL, 0UL); // ns
}
*/
import "C"
