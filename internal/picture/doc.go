// Package picture reads, resizes and converts pictures in pure Go, for programs
// built without OpenCV. A model must see the same numbers with either, so the
// arithmetic is that of OpenCV 4 and of the libraries it reads files with:
// resizing rounds as OpenCV's fixed-point code does, and a JPEG's colours are
// interpolated and converted as libjpeg-turbo does it. What still differs is
// stated by the tests that compare the two.
package picture
