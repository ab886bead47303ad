//go:build race

package main_test

// raced says that the tests run under the race detector.
const raced = true
