#define _GNU_SOURCE
#include "native.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
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

// gpu_error is what the driver says on a result.
static char *gpu_error(void *driver, const char *what, int result) {
	int (*describe)(int, const char **) = (int (*)(int, const char **))dlsym(driver, "cuGetErrorString");
	const char *why = NULL;
	if (describe == NULL || describe(result, &why) != 0 || why == NULL)
		why = "unknown error";
	char *text = malloc(256);
	if (text != NULL)
		snprintf(text, 256, "the NVIDIA driver answers %s with error %d: %s", what, result, why);
	return text;
}

int vedette_gpus(char **text) {
	enum { line = 160, major = 75, minor = 76 }; // attributes of the compute capability
	void *driver = dlopen("libcuda.so.1", RTLD_NOW);
	if (driver == NULL) {
		*text = strdup("there is no NVIDIA driver: libcuda.so.1 cannot be loaded");
		return -1;
	}
	int (*init)(unsigned) = (int (*)(unsigned))dlsym(driver, "cuInit");
	int (*count)(int *) = (int (*)(int *))dlsym(driver, "cuDeviceGetCount");
	int (*get)(int *, int) = (int (*)(int *, int))dlsym(driver, "cuDeviceGet");
	int (*name)(char *, int, int) = (int (*)(char *, int, int))dlsym(driver, "cuDeviceGetName");
	int (*attribute)(int *, int, int) = (int (*)(int *, int, int))dlsym(driver, "cuDeviceGetAttribute");
	if (init == NULL || count == NULL || get == NULL || name == NULL || attribute == NULL) {
		*text = strdup("libcuda.so.1 is not the library of an NVIDIA driver");
		return -1;
	}
	int result, n = 0;
	if ((result = init(0)) != 0) {
		*text = gpu_error(driver, "cuInit", result);
		return -1;
	}
	if ((result = count(&n)) != 0) {
		*text = gpu_error(driver, "cuDeviceGetCount", result);
		return -1;
	}
	char *out = calloc(n + 1, line);
	if (out == NULL) {
		*text = NULL;
		return -1;
	}
	for (int i = 0; i < n; i++) {
		int device = 0, a = 0, b = 0;
		char called[128] = "";
		if (get(&device, i) != 0 || name(called, sizeof called, device) != 0)
			strcpy(called, "unknown GPU");
		attribute(&a, major, device);
		attribute(&b, minor, device);
		snprintf(out + strlen(out), line, "%s\t%d.%d\n", called, a, b);
	}
	*text = out;
	return n;
}

int vedette_tensorrt_version(void) {
	const char *names[] = {"libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so"};
	for (int i = 0; i < 3; i++) {
		void *lib = dlopen(names[i], RTLD_LAZY);
		if (lib == NULL)
			continue;
		int (*version)(void) = (int (*)(void))dlsym(lib, "getInferLibVersion");
		if (version != NULL)
			return version();
	}
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
