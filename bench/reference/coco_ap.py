#!/usr/bin/env python3
"""COCO AP of yolox_nano_416 on images/coco64 by the COCO API, as the oracle of
`vedette eval`. Writes golden/coco64_ap.json."""

import contextlib
import io
import os

import cv2
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import common
import families

SCORES = "AP AP50 AP75 AP_small AP_medium AP_large AR1 AR10 AR100 AR_small AR_medium AR_large".split()


def ground_truth(files, names):
    """YOLO labels as a COCO data set. They have neither crowds nor masks: the
    area of an object is that of its box."""
    images, annotations = [], []
    for i, path in enumerate(files):
        h, w = cv2.imread(path).shape[:2]
        images.append({"id": i, "width": w, "height": h, "file_name": os.path.basename(path)})
        label = path.replace(os.sep + "images" + os.sep + os.path.basename(path), os.sep + "labels" + os.sep)
        label += os.path.splitext(os.path.basename(path))[0] + ".txt"
        if not os.path.exists(label):
            continue
        for line in open(label):
            c, cx, cy, bw, bh = (float(v) for v in line.split())
            box = [(cx - bw / 2) * w, (cy - bh / 2) * h, bw * w, bh * h]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": int(c), "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            )
    categories = [{"id": i, "name": n} for i, n in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def evaluate(truth, detections):
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        e = COCOeval(gt, gt.loadRes(np.array(detections)), "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    return {k: round(float(v), 6) for k, v in zip(SCORES, e.stats)}


def detect(files, s, iou, min_score):
    rows = []
    for i, path in enumerate(files):
        img = cv2.imread(path)
        x, back = families.letterbox_topleft(img, 416, 416)
        out = s.run(None, {"images": families.chw(x.astype(np.float32))})
        found = families.yolox(out, 416, 416, min_score, iou)[:300]
        found[:, :4] = families.clipped(back(found[:, :4]), img)
        for x1, y1, x2, y2, score, c in found:
            if x2 > x1 and y2 > y1:
                rows.append([i, x1, y1, x2 - x1, y2 - y1, score, c])
    return rows


def main():
    a = common.arguments(__doc__)
    files = common.coco64(a.data)
    truth = ground_truth(files, common.coco_names(a.data))
    model = os.path.join(a.data, "models", "yolox_nano_416.onnx")
    s = common.session(model)
    results = []
    for min_score, iou in ((0.01, 0.65), (0.01, 0.45), (0.25, 0.45)):
        rows = detect(files, s, iou, min_score)
        results.append({"min_score": min_score, "iou": iou, "detections": len(rows), "scores": evaluate(truth, rows)})
        print(results[-1])
    common.write_json(
        "coco64_ap.json",
        {
            "about": "COCO API on yolox_nano_416 and the 64 pictures of coco64; written by coco_ap.py",
            "how": "letterbox top-left 114, int(side*r), linear; score = object * best class; class-aware NMS; "
            "boxes clipped to the picture; truth from the YOLO labels, area = box area, no crowds; at most 300 objects a picture, of which the COCO API takes the best 100",
            "model_sha256": common.sha256(model),
            "versions": common.versions(),
            "pictures_with_labels": len({t["image_id"] for t in truth["annotations"]}),
            "objects": len(truth["annotations"]),
            "results": results,
        },
    )


if __name__ == "__main__":
    main()
