// Package vedette is the vocabulary that every stage of the pipeline and every
// subscriber shares: the names of frames, the subjects they travel on, and the
// messages with their JSON. It knows nothing of NATS, OpenCV or any engine.
//
// A frame has one name, <camera>-<epoch>-<seq> ([FrameID]); what a model says
// of it is a [Detection], published on [Subjects.Detection].
package vedette
