// Package cv is the one package that touches OpenCV. It captures pictures from
// files, cameras and image files into memory the caller gives it, and encodes
// and decodes pictures.
//
// OpenCV is bound only under the build tag "cv" (with the module tags of the
// Makefile). Without it pictures are read, resized and converted by package
// picture, and every function that captures, draws or encodes returns
// [ErrNoOpenCV], so that the rest of the program builds and runs on a host that
// has no OpenCV.
//
// A capture can block for ever in a read and a broken stream can abort the
// process, both inside C. Nothing here can prevent that: captures belong into
// a child process that can be killed (package ingest does so).
package cv
