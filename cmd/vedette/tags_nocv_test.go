//go:build !cv

package main_test

// buildTags are those of the program under test: the same as the test's.
const buildTags = ""
