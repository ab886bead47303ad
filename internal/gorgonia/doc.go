// Package gorgonia is the engine "gorgonia": models run in Go alone, so that
// the program works where there is no ONNX Runtime library. It is the only
// importer of github.com/owulveryck/onnx-go, which decodes the files, and of
// gorgonia.org/gorgonia, which runs the graphs.
//
// It is made for plain convolutional networks; [Operators] lists what it runs.
// Everything else is refused by name when a model is loaded: other operators
// and domains, attributes it does not know, element types other than float32.
//
// # Why it does not use gorgonnx
//
// onnx-go comes with a backend for Gorgonia, gorgonnx, whose answers cannot be
// trusted (v0.5.0): Gemm adds its result to the weights, so that every run
// after the first is wrong; BatchNormalization and LeakyRelu overwrite their
// inputs, also when another operator reads them; two operators of one kind on
// one input are merged even if their attributes differ; an operator that reads
// one value twice gets it once; Conv ignores groups; a refused input is followed by the
// answer to the one before; broadcasting guesses axes. So this package is an
// onnx-go backend of its own: it takes the decoded operators and builds a
// Gorgonia graph of its own operations, each of which computes into memory
// that belongs to it and changes nothing else.
//
// A Gorgonia graph has one batch size and one user at a time: each runner
// builds its own, and they share the weights, which nobody writes. Graphs are
// built one at a time, since Gorgonia keeps global state while building.
package gorgonia
