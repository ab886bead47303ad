// Package eval says how good a detector is: it reads data sets with known
// objects, takes a detector or the detections it left behind, and computes the
// scores the field compares by.
//
// Data sets ([Open]): a YOLO folder, a COCO JSON file, the DeepPCB list, and
// folders of VOC-style text files. A DeepPCB list can be restricted to some of its
// groups, and the templates of its boards can be counted as pictures without
// objects ([Dataset.WithTemplates]). Stored detections ([ReadDetections]): COCO
// results, lines of [vedette.Detection] as "vedette detect --format jsonl"
// writes them, and VOC-style text files.
//
// Scores ([Evaluate], [EvaluateStored]): the twelve of COCO as pycocotools
// computes them, the average precision of PASCAL VOC (every point and eleven
// points) at any overlap, precision, recall and F1 against the score, a
// confusion matrix, and the pictures that were wrongly passed or rejected.
// A picture without an answer is never taken for one where nothing was found:
// it is counted apart and left out of every score. One that the model itself
// calls unfit is an answer: nothing counts as found in it ([Unfit]).
package eval
