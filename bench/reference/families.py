"""Straight-line preprocessing and postprocessing of the model families, each
as the model's own project does it, in numpy and OpenCV. Nothing here is
clever: these functions are what the Go code is compared with.

Every prepare function takes a BGR uint8 picture and returns the float32 NCHW
input and a function that maps boxes of the input to the picture. Every decode
function takes the list of raw outputs (batch of one) and returns rows of
x1, y1, x2, y2, score, class in pixels of the input.
"""

import cv2
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def iou_one_to_many(box, boxes):
    w = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    h = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    inter = np.clip(w, 0, None) * np.clip(h, 0, None)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return inter / ((box[2] - box[0]) * (box[3] - box[1]) + area - inter + 1e-12)


def nms(rows, iou):
    """Greedy and class by class; rows come back best first."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    kept = []
    alive = np.ones(len(rows), bool)
    for i in range(len(rows)):
        if not alive[i]:
            continue
        kept.append(i)
        rest = alive & (rows[:, 5] == rows[i, 5])
        rest[: i + 1] = False
        index = np.flatnonzero(rest)
        alive[index[iou_one_to_many(rows[i], rows[index]) > iou]] = False
    return rows[kept]


def best_class(boxes, scores, min_score):
    """One row per box: its best class."""
    classes = scores.argmax(1)
    best = scores[np.arange(len(scores)), classes]
    keep = best >= min_score
    return np.column_stack([boxes, best, classes])[keep]


def every_class(boxes, scores, min_score):
    """One row per box and class above the threshold."""
    at, classes = np.nonzero(scores >= min_score)
    return np.column_stack([boxes[at], scores[at, classes], classes])


def corners(b):
    return np.column_stack([b[:, 0] - b[:, 2] / 2, b[:, 1] - b[:, 3] / 2, b[:, 0] + b[:, 2] / 2, b[:, 1] + b[:, 3] / 2])


def centers(width, height, strides, offset):
    """The cells of all feature maps, row by row: x, y in pixels, and stride."""
    out = []
    for s in strides:
        cols, rows = -(-width // s), -(-height // s)
        y, x = np.mgrid[0:rows, 0:cols]
        out.append(np.column_stack([(x.ravel() + offset) * s, (y.ravel() + offset) * s, np.full(rows * cols, s)]))
    return np.concatenate(out).astype(np.float32)


# --- ways to bring a picture to the model's size


def stretch(img, width, height, interpolation=cv2.INTER_LINEAR):
    sx, sy = width / img.shape[1], height / img.shape[0]
    return cv2.resize(img, (width, height), interpolation=interpolation), lambda b: b / [sx, sy, sx, sy]


def letterbox_topleft(img, width, height, pad=114):
    """YOLOX, yolox/data/data_augment.py, preproc."""
    r = min(height / img.shape[0], width / img.shape[1])
    out = np.full((height, width, 3), pad, np.uint8)
    w, h = int(img.shape[1] * r), int(img.shape[0] * r)
    out[:h, :w] = cv2.resize(img, (w, h), interpolation=cv2.INTER_LINEAR)
    return out, lambda b: b / r


def letterbox_nanodet(img, width, height, pad=0):
    """NanoDet, demo_openvino/main.cpp, resize_uniform: cut to whole pixels, centred."""
    r = min(width / img.shape[1], height / img.shape[0])
    w, h = int(np.floor(img.shape[1] * r)), int(np.floor(img.shape[0] * r))
    left, top = (width - w) // 2, (height - h) // 2
    out = np.full((height, width, 3), pad, np.uint8)
    out[top : top + h, left : left + w] = cv2.resize(img, (w, h), interpolation=cv2.INTER_LINEAR)
    s = np.array([w / img.shape[1], h / img.shape[0]] * 2)
    return out, lambda b: (b - [left, top, left, top]) / s


def warp_nanodet(img, width, height):
    """NanoDet, demo/demo_multi_backend_python.py: an affine warp about the centres."""
    r = min(width / img.shape[1], height / img.shape[0])
    m = np.array([[r, 0, width / 2 - r * img.shape[1] / 2], [0, r, height / 2 - r * img.shape[0] / 2], [0, 0, 1]])
    t = np.array([m[0, 2], m[1, 2]] * 2)
    return cv2.warpPerspective(img, m, dsize=(width, height)), lambda b: (b - t) / r


def letterbox_ultralytics(img, width, height, pad=114):
    """Ultralytics, data/augment.py, LetterBox(auto=False), written anew."""
    r = min(height / img.shape[0], width / img.shape[1])
    w, h = round(img.shape[1] * r), round(img.shape[0] * r)
    left, top = round((width - w) / 2 - 0.1), round((height - h) / 2 - 0.1)
    out = np.full((height, width, 3), pad, np.uint8)
    out[top : top + h, left : left + w] = cv2.resize(img, (w, h), interpolation=cv2.INTER_LINEAR)
    s = np.array([w / img.shape[1], h / img.shape[0]] * 2)
    return out, lambda b: (b - [left, top, left, top]) / s


def chw(img):
    return np.ascontiguousarray(img.transpose(2, 0, 1)[None])


# --- families: raw outputs to boxes


def yolox(outs, width, height, min_score, iou, strides=(8, 16, 32)):
    """YOLOX, yolox/utils/demo_utils.py demo_postprocess and yolox/utils/boxes.py postprocess."""
    v = outs[0][0].astype(np.float32)
    c = centers(width, height, strides, 0)
    boxes = np.column_stack([v[:, :2] * c[:, 2:] + c[:, :2], np.exp(v[:, 2:4]) * c[:, 2:]])
    return nms(best_class(corners(boxes), v[:, 4:5] * v[:, 5:], min_score), iou)


def nanodet(outs, width, height, min_score, iou, strides=(8, 16, 32), offset=0.5):
    """NanoDet, demo/demo_multi_backend_python.py: class outputs, then box outputs."""
    n = len(strides)
    scores = np.concatenate([o[0] for o in outs[:n]]).astype(np.float32)
    dist = np.concatenate([o[0] for o in outs[n:]]).astype(np.float32)
    return nanodet_boxes(scores, dist, centers(width, height, strides, offset), min_score, iou)


def nanodet_plus(outs, width, height, min_score, iou, strides=(8, 16, 32, 64)):
    """NanoDet-Plus, nanodet/model/head/nanodet_plus_head.py get_bboxes."""
    v = outs[0][0].astype(np.float32)
    return nanodet_boxes(v[:, :-32], v[:, -32:], centers(width, height, strides, 0), min_score, iou)


def nanodet_boxes(scores, dist, c, min_score, iou):
    d = (softmax(dist.reshape(-1, 4, 8), 2) * np.arange(8)).sum(2) * c[:, 2:]
    boxes = np.column_stack([c[:, :2] - d[:, :2], c[:, :2] + d[:, 2:]])
    return nms(every_class(boxes, scores, min_score), iou)


def ssd(outs, width, height, min_score, iou):
    """UltraFace, detect_imgs_onnx.py predict: scores with the background first, boxes in 0..1."""
    scores, boxes = outs[0][0].astype(np.float32), outs[1][0].astype(np.float32)
    return nms(every_class(boxes * [width, height, width, height], scores[:, 1:], min_score), iou)


def fastestdet(outs, width, height, min_score, iou):
    """FastestDet, utils/tool.py handle_preds."""
    v = outs[0][0].astype(np.float32)
    rows, cols = v.shape[1:]
    y, x = np.mgrid[0:rows, 0:cols]
    cx, cy = (np.tanh(v[1]) + x) / cols * width, (np.tanh(v[2]) + y) / rows * height
    boxes = np.column_stack([a.ravel() for a in (cx, cy, sigmoid(v[3]) * width, sigmoid(v[4]) * height)])
    score = (v[0] ** 0.6 * v[5:] ** 0.4).reshape(v.shape[0] - 5, -1).T
    return nms(best_class(corners(boxes), score, min_score), iou)


def yunet_2022(outs, width, height, min_score, iou):
    """YuNet of 2022, OpenCV 4.5.4 modules/objdetect/src/face_detect.cpp postProcess."""
    loc, conf, quality = (o.astype(np.float32) for o in outs)
    sizes = [[10, 16, 24], [32, 48], [64, 96], [128, 192, 256]]
    cols, rows = (width + 1) // 2 // 2, (height + 1) // 2 // 2
    priors = []
    for k, stride in enumerate([8, 16, 32, 64]):
        cols, rows = cols // 2, rows // 2
        for y in range(rows):
            for x in range(cols):
                priors += [[(x + 0.5) * stride, (y + 0.5) * stride, s] for s in sizes[k]]
    p = np.array(priors, np.float32)
    score = np.sqrt(np.clip(conf[:, 1:], 0, 1) * np.clip(quality, 0, 1))
    boxes = np.column_stack(
        [p[:, :2] + loc[:, :2] * 0.1 * p[:, 2:], p[:, 2] * np.exp(loc[:, 2] * 0.1), p[:, 2] * np.exp(loc[:, 3] * 0.2)]
    )
    return nms(best_class(corners(boxes), score, min_score), iou)


def clipped(boxes, img):
    h, w = img.shape[:2]
    return np.clip(boxes, 0, [w, h, w, h])
