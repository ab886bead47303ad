//go:build cv && linux

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

// OpenCV 4.6 gives FFmpeg one decoder thread per CPU, asks sysconf how many
// there are, and offers no setting. Frame threads hold frames back: with 16 a
// camera's picture is 15 frames late. A symbol of the executable comes before
// libc's, so the answer is given here; every other question is passed on.

static atomic_long online_cpus;

void vedette_set_online_cpus(long n) { atomic_store(&online_cpus, n); }

long sysconf(int name) {
	static long (*_Atomic next)(int);
	if (name == _SC_NPROCESSORS_ONLN) {
		long n = atomic_load(&online_cpus);
		if (n > 0)
			return n;
	}
	long (*f)(int) = atomic_load(&next);
	if (!f) {
		f = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
		if (!f) {
			errno = EINVAL;
			return -1;
		}
		atomic_store(&next, f);
	}
	return f(name);
}
