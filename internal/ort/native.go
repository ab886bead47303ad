//go:build cgo

package ort

/*
#cgo linux LDFLAGS: -ldl
#include <stdlib.h>
#include "native.h"
*/
import "C"

import (
	"errors"
	"unsafe"
)

// probe loads the library at path (or, for a bare name, where the loader finds
// it) and asks for its version. It stays loaded.
func probe(path string) (Library, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var version, file, problem *C.char
	if C.vedette_ort_probe(name, &version, &file, &problem) != 0 {
		defer C.free(unsafe.Pointer(problem))
		return Library{}, errors.New(C.GoString(problem))
	}
	defer C.free(unsafe.Pointer(file))
	return Library{Path: C.GoString(file), Version: C.GoString(version)}, nil
}

// keepSignals runs f and undoes what it did to signal handlers. CUDA's
// libraries install some without SA_ONSTACK, on which the Go runtime dies at
// the next signal (github.com/yalue/onnxruntime_go issue 140). It returns how
// many handlers had to be put back.
func keepSignals(f func() error) (restored int, err error) {
	saved := C.vedette_signals_save()
	defer func() { restored = int(C.vedette_signals_restore(saved)) }()
	return 0, f()
}
