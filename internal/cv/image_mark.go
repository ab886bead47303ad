package cv

// Mark is a box to draw with its caption.
type Mark struct {
	// Box is [x1 y1 x2 y2] in pixel-edge coordinates.
	Box [4]float64
	// Text is drawn on the box's colour; what is not ASCII becomes '?', since
	// OpenCV's fonts have nothing else.
	Text string
	// Color picks from a palette; equal numbers give equal colours.
	Color int
}
