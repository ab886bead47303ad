package decode

import (
	"strings"

	"github.com/vedette-io/vedette/models"
)

// Kind is one family of output layouts.
type Kind struct {
	// Name is what a manifest's output.decoder says.
	Name string
	// Doc is one line for people.
	Doc string
	// Shapes is the layout it reads, for people: B pictures, N boxes, C classes.
	Shapes string
	Task   models.Task

	// build makes the decoder, or says what does not fit.
	build func(spec) (Decoder, error)
	// guess reports whether a bare file looks like this family and, if so,
	// completes the manifest with how the family is usually fed and read.
	guess func(evidence, *models.Manifest) bool
}

// Kinds is the table of decoders. A new one is a file with a build and a guess
// function and a line here. The order is that of guessing: a layout that could
// be taken for another one comes before it.
func Kinds() []Kind {
	return []Kind{
		{"nanodet", "NanoDet and NanoDet-Plus: class scores and box distributions", "[B,N,C] and [B,N,32] for each stride, or [B,N,C+32]", models.Detect, buildNanoDet, guessNanoDet},
		{"ssd", "SSD with boxes already decoded, background class first (UltraFace)", "scores [B,N,1+C] and corner boxes [B,N,4] in 0..1", models.Detect, buildSSD, guessSSD},
		{"yunet", "YuNet faces: the releases of 2022 (loc, conf, iou) and 2023 (cls, obj, bbox per stride)", "[N,14], [N,2], [N,1], or [B,N,1], [B,N,1], [B,N,4] for each stride", models.Detect, buildYuNet, guessYuNet},
		{"fastestdet", "FastestDet: one feature map", "[B,5+C,H,W]", models.Detect, buildFastestDet, guessFastestDet},
		{"end2end", "detectors that need no suppression (YOLOv10 and later)", "[B,N,6] of x1,y1,x2,y2,score,class", models.Detect, buildEnd2End, guessEnd2End},
		{"yolov8", "Ultralytics YOLOv8, v9, v11, v12 and YOLOv5u", "[B,4+C,N] or [B,N,4+C] of cx,cy,w,h,classes", models.Detect, buildYOLOv8, guessYOLOv8},
		{"yolov5", "YOLOv5 and YOLOv7 with anchors, boxes decoded", "[B,N,5+C] of cx,cy,w,h,object,classes, three boxes a cell", models.Detect, buildYOLOv5, guessYOLOv5},
		{"yolox", "YOLOX, boxes raw or (output.decoded) in pixels", "[B,N,5+C] of cx,cy,w,h,object,classes, one box a cell", models.Detect, buildYOLOX, guessYOLOX},
		{"classify", "classifiers, with probabilities or (output.softmax) logits", "[B,C], [B,C,1,1] or [B,1,1,C]", models.Classify, buildClassify, guessClassify},
	}
}

func kindByName(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// kindList is the table as one line of an error.
func kindList() string {
	var s []string
	for _, k := range Kinds() {
		s = append(s, k.Name+" "+k.Shapes)
	}
	return strings.Join(s, "; ")
}
