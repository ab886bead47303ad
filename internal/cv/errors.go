package cv

import "errors"

// ErrNoOpenCV is returned by everything that needs OpenCV in a program built
// without it.
var ErrNoOpenCV = errors.New("this program was built without OpenCV: build it with make build")
