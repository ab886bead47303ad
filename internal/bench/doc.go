// Package bench measures processes and machines from the outside, for the
// command that compares the pipeline with the limit of the machine it runs on:
// the processor time and memory of a tree of processes, what the machine is,
// and the statistics of what was measured.
package bench
