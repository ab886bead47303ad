#!/usr/bin/env python3
"""Runs four models straight-line, each fed and read as its own project does it,
and writes golden/parity_*.json: what a pipeline with the manifests in
manifests/ must find in the same pictures."""

import os

import cv2
import numpy as np

import common
import families

NANODET_MEAN, NANODET_STD = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]


def parity_pictures(data):
    """The first 20 pictures of coco64 on which every project's letterbox agrees:
    NanoDet cuts the resized side to whole pixels, others round it."""
    out = []
    for path in common.coco64(data):
        h, w = cv2.imread(path).shape[:2]
        r = 320 / max(w, h)
        if int(w * r) == round(w * r) and int(h * r) == round(h * r):
            out.append(path)
    return out[:20]


def yolox(img):
    x, back = families.letterbox_topleft(img, 416, 416)
    return x.astype(np.float32), back


def nanodet(img):
    x, back = families.letterbox_nanodet(img, 320, 320)
    return (x.astype(np.float32) - np.float32(NANODET_MEAN)) / np.float32(NANODET_STD), back


def ultraface(img):
    x, back = families.stretch(img, 320, 240)
    return (x[:, :, ::-1].astype(np.float32) - 127) / 128, back


def squeezenet(img):
    """The shorter side to 256, the longer cut to whole pixels, the centre 224."""
    h, w = img.shape[:2]
    w, h = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    x = cv2.resize(img, (w, h), interpolation=cv2.INTER_LINEAR)
    left, top = round((w - 224) / 2), round((h - 224) / 2)
    return x[top : top + 224, left : left + 224].astype(np.float32) - np.float32([104, 117, 123]), None


MODELS = [
    dict(
        name="yolox-nano",
        file="yolox_nano_416.onnx",
        prepare=yolox,
        decode=families.yolox,
        size=(416, 416),
        min_score=0.25,
        iou=0.45,
        how="BGR 0..255; r = min(416/h, 416/w); resized to int(w*r) x int(h*r), INTER_LINEAR, top left on 114; boxes / r; "
        "score = object * best class; class-aware NMS; boxes clipped",
    ),
    dict(
        name="nanodet-m",
        file="nanodet_m_320.onnx",
        prepare=nanodet,
        decode=families.nanodet,
        size=(320, 320),
        min_score=0.4,
        iou=0.5,
        how="BGR; r = min(320/h, 320/w); resized to floor(w*r) x floor(h*r), INTER_LINEAR, centred on 0 (odd pixel right and below); "
        "then (v - mean) / std, padding included; every class above min_score; class-aware NMS; boxes clipped",
    ),
    dict(
        name="ultraface-rfb-320",
        file="ultraface_version-RFB-320.onnx",
        prepare=ultraface,
        decode=families.ssd,
        size=(320, 240),
        min_score=0.7,
        iou=0.5,
        faces=True,
        how="RGB; stretched to 320x240, INTER_LINEAR; (v - 127) / 128; NMS; boxes * picture size, clipped, not cut to whole pixels",
    ),
    dict(
        name="squeezenet",
        file="SqueezeNet_fp16.onnx",
        prepare=squeezenet,
        how="BGR; shorter side to 256, longer cut to whole pixels, INTER_LINEAR; centre 224 (offset rounded half to even); "
        "v - (104, 117, 123); float16 in and out; probabilities; the best five",
    ),
]


def run(m, s, path):
    img = cv2.imread(path)
    x, back = m["prepare"](img)
    x = families.chw(x)
    inputs = s.get_inputs()[0]
    if inputs.type == "tensor(float16)":
        x = x.astype(np.float16)
    outs = s.run(None, {inputs.name: x})
    picture = {"item": os.path.basename(path), "width": img.shape[1], "height": img.shape[0]}
    if back is None:
        p = outs[0].ravel().astype(np.float32)
        best = np.argsort(-p, kind="stable")[:5]
        picture["classes"] = [{"class_id": int(i), "score": round(float(p[i]), 5)} for i in best]
        return picture
    found = m["decode"](outs, *m["size"], m["min_score"], m["iou"])
    found[:, :4] = families.clipped(back(found[:, :4]), img)
    picture["objects"] = [
        {"class_id": int(f[5]), "score": round(float(f[4]), 5), "box": [round(float(v), 3) for v in f[:4]]}
        for f in found
        if f[2] > f[0] and f[3] > f[1]
    ]
    return picture


def main():
    a = common.arguments(__doc__)
    pictures = parity_pictures(a.data)
    folder = os.path.join(a.data, "images", "faces")
    faces = [os.path.join(folder, f) for f in sorted(os.listdir(folder))]
    for m in MODELS:
        path = os.path.join(a.data, "models", m["file"])
        s = common.session(path)
        golden = {
            "about": "what parity.py found; boxes are x1, y1, x2, y2 in pixels of the picture as cv2.imread gives it",
            "model": m["name"],
            "file": "models/" + m["file"],
            "model_sha256": common.sha256(path),
            "how": m["how"],
            "versions": common.versions(),
        }
        for key in ("min_score", "iou"):
            if key in m:
                golden[key] = m[key]
        golden["pictures"] = [run(m, s, p) for p in pictures + (faces if m.get("faces") else [])]
        print(m["name"], sum(len(p.get("objects", p.get("classes", []))) for p in golden["pictures"]), "answers")
        common.write_json("parity_" + m["name"] + ".json", golden)


if __name__ == "__main__":
    main()
