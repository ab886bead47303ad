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
	"strings"
	"sync"
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

// gpu is one that NVIDIA's driver offers.
type gpu struct{ name, capability string }

// gpus asks NVIDIA's driver, in its own order, which $CUDA_VISIBLE_DEVICES
// changes.
func gpus() ([]gpu, error) {
	var text *C.char
	n := int(C.vedette_gpus(&text))
	defer C.free(unsafe.Pointer(text))
	if n < 0 {
		return nil, errors.New(C.GoString(text))
	}
	list := make([]gpu, 0, n)
	for line := range strings.Lines(C.GoString(text)) {
		name, capability, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		list = append(list, gpu{name, capability})
	}
	return list, nil
}

// tensorRTVersion is 0 where there is none.
func tensorRTVersion() int { return int(C.vedette_tensorrt_version()) }

// handlers is held while handlers are watched: two watchers would take what the
// other one puts back for what was there before.
var handlers sync.Mutex

// keepSignals runs f and undoes what it did to signal handlers. CUDA's
// libraries install some without SA_ONSTACK, on which the Go runtime dies at
// the next signal (github.com/yalue/onnxruntime_go issue 140). It returns how
// many handlers had to be put back.
func keepSignals(f func() error) (restored int, err error) {
	handlers.Lock()
	defer handlers.Unlock()
	saved := C.vedette_signals_save()
	defer func() { restored = int(C.vedette_signals_restore(saved)) }()
	return 0, f()
}
