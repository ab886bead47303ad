#define _GNU_SOURCE
#include "native.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// The head of OrtApiBase, which is the same in all versions.
typedef struct {
	const void *(*GetApi)(uint32_t version);
	const char *(*GetVersionString)(void);
} api_base;

int vedette_ort_probe(const char *path, const char **version, char **file, char **error) {
	void *handle = dlopen(path, RTLD_LAZY);
	if (handle == NULL) {
		*error = strdup(dlerror());
		return -1;
	}
	const api_base *(*get)(void) = (const api_base *(*)(void))dlsym(handle, "OrtGetApiBase");
	const api_base *base = get == NULL ? NULL : get();
	if (base == NULL) {
		dlclose(handle);
		*error = strdup("it has no OrtGetApiBase: not ONNX Runtime");
		return -1;
	}
	*version = base->GetVersionString();
	Dl_info info;
	char *real = NULL;
	if (dladdr((void *)get, &info) != 0 && info.dli_fname != NULL)
		real = realpath(info.dli_fname, NULL);
	*file = real != NULL ? real : strdup(path);
	return 0;
}

enum { signals = 65 }; // 1..64

void *vedette_signals_save(void) {
	struct sigaction *saved = calloc(signals, sizeof *saved);
	if (saved == NULL)
		return NULL;
	for (int s = 1; s < signals; s++)
		sigaction(s, NULL, &saved[s]);
	return saved;
}

int vedette_signals_restore(void *p) {
	struct sigaction *saved = p, now;
	int restored = 0;
	if (saved == NULL)
		return 0;
	for (int s = 1; s < signals; s++) {
		if (sigaction(s, NULL, &now) != 0)
			continue;
		// The handler is the first member of the union on every system.
		if ((now.sa_flags & SA_ONSTACK) || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)
			continue;
		int same = now.sa_handler == saved[s].sa_handler && !(saved[s].sa_flags & SA_ONSTACK);
		if (!same && sigaction(s, &saved[s], NULL) == 0)
			restored++;
	}
	free(saved);
	return restored;
}
