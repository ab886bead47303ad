// Package ort is the engine "onnxruntime": ONNX Runtime through
// github.com/yalue/onnxruntime_go, on the CPU or on what execution providers
// the library found brings along. It is the only importer of that package.
//
// The library is loaded at run time ([Find] says from where), once in the life
// of the process, and stays loaded: it keeps threads of its own, and unloading
// them brings nothing but risk.
//
// A model is one session that all its runners share; a runner owns its tensors
// and nothing else, so that runners may work in parallel. Sessions use one
// thread a run unless told otherwise and never spin: measured on CPUs, frames
// in parallel on one-threaded runs give the most throughput, and spinning
// threads beside other work cost up to 45 %.
package ort
