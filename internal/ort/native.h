// What the binding does not offer: asking a library for its version before
// using it, asking which GPUs there are, and keeping an execution provider from
// replacing signal handlers.
#ifndef VEDETTE_ORT_NATIVE_H
#define VEDETTE_ORT_NATIVE_H

// vedette_ort_probe loads the library and keeps it loaded. It returns 0 and
// sets version (owned by the library) and file (to be freed), or returns -1
// and sets error (to be freed).
int vedette_ort_probe(const char *path, const char **version, char **file, char **error);

// vedette_gpus asks NVIDIA's driver for its GPUs. It returns their number and
// sets text to a line for each, its name and compute capability separated by a
// tab; or it returns -1 and sets text to what is wrong. text is to be freed.
int vedette_gpus(char **text);

// vedette_tensorrt_version is the version of the TensorRT library that the
// loader finds, as one number, or 0 if there is none.
int vedette_tensorrt_version(void);

// vedette_signals_save returns the handlers of all signals, to be given to
// vedette_signals_restore, which puts back those that were meanwhile replaced
// by handlers without SA_ONSTACK, and frees the memory. It returns the number
// it put back.
void *vedette_signals_save(void);
int vedette_signals_restore(void *saved);

#endif
