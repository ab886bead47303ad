#!/usr/bin/env python3
"""Writes ../transforms.json: what the reference implementations make of a
synthetic picture, for TestTransformReferences.

Needs numpy and opencv-python (made with 1.26.4 and 4.10.0.84). Each function
is the published algorithm of the project it names, reduced to what it does to
the pixels.
"""
import base64
import json
import os
import zlib

import cv2
import numpy as np


def scene(w, h):
    """A picture with gradients, edges and texture; the Go test makes the same."""
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    b = (x * 255 // max(w - 1, 1)) & 255
    g = (y * 255 // max(h - 1, 1)) & 255
    r = ((x // 9 + y // 7) & 1) * 160 + (x * y // 64) % 64
    return np.dstack([b, g, r]).astype(np.uint8)


def yolox(img, W, H):
    """YOLOX, yolox/data/data_augment.py, preproc (before the transpose)."""
    padded = np.ones((H, W, 3), dtype=np.uint8) * 114
    r = min(H / img.shape[0], W / img.shape[1])
    resized = cv2.resize(
        img, (int(img.shape[1] * r), int(img.shape[0] * r)), interpolation=cv2.INTER_LINEAR
    ).astype(np.uint8)
    padded[: int(img.shape[0] * r), : int(img.shape[1] * r)] = resized
    return padded


def ultralytics(img, W, H):
    """Ultralytics, data/augment.py, LetterBox (auto=False, center=True), then RGB."""
    shape = img.shape[:2]
    r = min(H / shape[0], W / shape[1])
    new = int(round(shape[1] * r)), int(round(shape[0] * r))
    dw, dh = (W - new[0]) / 2, (H - new[1]) / 2
    if shape[::-1] != new:
        img = cv2.resize(img, new, interpolation=cv2.INTER_LINEAR)
    top, bottom = int(round(dh - 0.1)), int(round(dh + 0.1))
    left, right = int(round(dw - 0.1)), int(round(dw + 0.1))
    img = cv2.copyMakeBorder(img, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114,) * 3)
    return img[..., ::-1]


def imagenet(img, W, H, resize=256):
    """torchvision Resize(256), CenterCrop(224) in RGB; Resize with OpenCV's area."""
    assert W == H
    h, w = img.shape[:2]
    short, long = (w, h) if w <= h else (h, w)
    new_short, new_long = resize, int(resize * long / short)
    nw, nh = (new_short, new_long) if w <= h else (new_long, new_short)
    img = cv2.resize(img, (nw, nh), interpolation=cv2.INTER_AREA)
    top, left = int(round((nh - H) / 2.0)), int(round((nw - W) / 2.0))
    return img[top : top + H, left : left + W, ::-1]


def ultraface(img, W, H):
    """UltraFace, run_video_face_detect_onnx.py: RGB, then resized."""
    return cv2.resize(cv2.cvtColor(img, cv2.COLOR_BGR2RGB), (W, H))


def grey(img, W, H):
    """A grey model: BT.601 luma, then resized."""
    return cv2.resize(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY), (W, H))


def cubic(img, W, H):
    return cv2.resize(img, (W, H), interpolation=cv2.INTER_CUBIC)


def nearest(img, W, H):
    return cv2.resize(img, (W, H), interpolation=cv2.INTER_NEAREST)


CASES = [(f.__name__, f, w, h, W, H) for f, W, H, sizes in [
    (yolox, 416, 416, [(1920, 1080), (768, 432), (333, 517), (100, 37)]),
    (ultralytics, 640, 640, [(1920, 1080), (765, 433), (333, 517), (100, 37)]),
    (ultralytics, 320, 192, [(640, 480), (321, 193)]),
    (imagenet, 224, 224, [(1280, 720), (333, 517), (120, 121)]),
    (ultraface, 320, 240, [(1920, 1080), (101, 203)]),
    (grey, 128, 96, [(200, 150)]),
    (cubic, 128, 96, [(200, 150)]),
    (nearest, 96, 64, [(333, 217)]),
] for w, h in sizes]


def main():
    out = []
    for name, f, w, h, W, H in CASES:
        got = np.ascontiguousarray(f(scene(w, h), W, H))
        assert got.shape[:2] == (H, W), (name, got.shape)
        flat = got.reshape(H, W, -1)
        # Every 13th row and 11th column, and the sum of all, catch a shift of
        # one pixel and a change of half a level on average.
        sample = np.ascontiguousarray(flat[::13, ::11])
        out.append({
            "name": name, "width": w, "height": h, "model_width": W, "model_height": H,
            "sum": int(flat.sum(dtype=np.int64)),
            "sample": base64.b64encode(zlib.compress(sample.tobytes(), 9)).decode(),
        })
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "transforms.json")
    with open(path, "w") as fh:
        fh.write("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")


if __name__ == "__main__":
    main()
