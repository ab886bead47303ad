// Package archtest keeps the architecture true: its test reads every package
// of the module, in every build, and fails with file and line on an import
// that points the wrong way, an external library outside of its one package,
// a file or function that has grown too long, an init function, and a package
// without a doc comment.
package archtest
