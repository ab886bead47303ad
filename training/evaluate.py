#!/usr/bin/env python3
"""Scores an exported model on labelled boards, with ONNX Runtime.

    python training/evaluate.py models/pcb-defects/pcb-defects.onnx --data ../data@group77000,group92000
    python training/evaluate.py MODEL.onnx --data … --robust     how scores fall under rotation, tilt, blur and light
    python training/evaluate.py MODEL.onnx --time OTHER.onnx     time of a run beside another model, one thread

Reads mean, deviation, threshold and labels from the manifest beside the model.
--out FOLDER writes scores.json and the plots.
"""
import argparse
import json
import re
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from pcb import data, metrics, model, plots


class Model:
    """An ONNX file with its manifest, on one thread. Pictures of other sizes than
    its input's are letterboxed as the program does, and the boxes mapped back."""

    def __init__(self, path, manifest=None):
        path = Path(path)
        text = Path(manifest or path.with_name(path.stem.removesuffix("-int8") + ".yaml")).read_text()
        number = lambda key: float(re.search(rf"^\s*{key}:\s*\[?([-\d.eE]+)", text, re.M)[1])
        self.mean, self.std, self.threshold = number("mean"), number("std"), number("min_score")
        self.labels = [s.strip() for s in re.search(r"^labels:\s*\[(.*)\]", text, re.M)[1].split(",")]
        self.session = session(path)
        self.shape = tuple(self.session.get_inputs()[0].shape[2:])

    def __call__(self, pixels, min_score=0.01):
        """Detections, and what the model says the picture shows."""
        seen, scale, pad = letterbox(pixels, *self.shape)
        x = (seen.astype(np.float32) - self.mean) / self.std
        rows, scene = self.session.run(["boxes", "scene"], {"image": x[None, None]})
        boxes, scores, cls = metrics.decode(rows[0], *self.shape, min_score=min_score)
        h, w = pixels.shape
        boxes = np.clip((boxes - np.tile(pad, 2)) / np.tile(scale, 2), 0, [w, h, w, h])
        return (boxes, scores, cls), metrics.judge(scene[0])


def letterbox(pixels, height, width, fill=255):
    """The picture as the model sees it, with the scale and the padding (x, y): as
    the program does, which rounds as Ultralytics' LetterBox."""
    h, w = pixels.shape
    if (h, w) == (height, width):
        return pixels, np.ones(2), np.zeros(2)
    r = min(height / h, width / w)
    nw, nh = max(round(w * r), 1), max(round(h * r), 1)
    left, top = round((width - nw) / 2 - 0.1), round((height - nh) / 2 - 0.1)
    out = np.full((height, width), fill, np.uint8)
    out[top:top + nh, left:left + nw] = cv2.resize(pixels, (nw, nh), interpolation=cv2.INTER_AREA)
    return out, np.array([nw / w, nh / h]), np.array([left, top])


def session(path):
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = o.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), o, providers=["CPUExecutionProvider"])


FIT = model.SCENES[model.BOARD]


def scores(m, boards):
    answers = [m(b.pixels) for b in boards]
    return metrics.Scores(boards, [d for d, _ in answers], len(m.labels), [what == FIT for _, what in answers])


def summary(m, s, threshold):
    ap, ap50, ap33 = s.coco()
    esc, bad, rej, good = s.boards_at(threshold)
    precision, recall = s.precision_recall(threshold)
    r = lambda v: None if np.isnan(v) else round(float(v), 4)
    return {"boards": len(s.boards), "boxes": sum(len(b.boxes) for b in s.boards), "ap": r(ap), "ap50": r(np.nanmean(ap50)), "ap33": r(np.nanmean(ap33)),
            "ap50_per_class": dict(zip(m.labels, map(r, ap50))), "threshold": threshold, "precision": r(precision), "recall": r(recall),
            "escapes": esc, "defective_boards": bad, "false_rejects": rej, "good_boards": good,
            "unfit": int((~s.fit).sum())}


def warp(b, a):
    """A board under the 3×3 transform a, its boxes those of the turned ellipses' corners."""
    h, w = b.pixels.shape
    im = cv2.warpPerspective(b.pixels, a, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255)
    boxes, cls = [], []
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    for (x1, y1, x2, y2), c in zip(b.boxes, b.cls):
        p = np.stack([(x1 + x2) / 2 + (x2 - x1) / 2 * np.cos(t), (y1 + y2) / 2 + (y2 - y1) / 2 * np.sin(t), np.ones_like(t)])
        q = a @ p
        q = q[:2] / q[2]
        full = np.concatenate([q.min(1), q.max(1)])
        if full[0] >= 0 and full[1] >= 0 and full[2] <= w and full[3] <= h:  # what is cut cannot be judged fairly
            boxes.append(full), cls.append(c)
    return data.Board(b.path, np.array(boxes, np.float32).reshape(-1, 4), np.array(cls, np.int64), b.group, im)


def about_centre(b, a):
    h, w = b.pixels.shape
    to = np.array([[1, 0, w / 2], [0, 1, h / 2], [0, 0, 1.0]])
    return warp(b, to @ a @ np.linalg.inv(to))


def turned(degrees, scale=0.7):
    """Turned in the plane; scaled so that the middle of the board stays in view."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return lambda b: about_centre(b, np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))


def tilted(degrees):
    """Turned out of the plane, seen from three board widths away."""
    a, f = np.radians(degrees), 3.0 * 640
    return lambda b: about_centre(b, np.array([[1, 0, 0], [0, np.cos(a), 0], [0, np.sin(a) / f, 1]]))


def pixels(f):
    rng = np.random.default_rng(1)
    return lambda b: data.Board(b.path, b.boxes, b.cls, b.group, np.clip(f(b.pixels.astype(np.float32), rng), 0, 255).astype(np.uint8))


def conditions():
    out = {"as it is": lambda b: b}
    for d in range(0, 181, 15):
        out[f"turned {d}°, 0.7×"] = turned(d)
    for d in (10, 20, 30):
        out[f"tilted {d}°"] = tilted(d)
    for s in (0.5, 1, 1.5, 2, 3):
        out[f"blur σ {s} px"] = pixels(lambda v, _, s=s: cv2.GaussianBlur(v, (0, 0), s))
    for lo, hi in ((60, 200), (20, 120), (120, 200), (0, 60)):
        out[f"levels {lo} to {hi}"] = pixels(lambda v, _, lo=lo, hi=hi: v / 255 * (hi - lo) + lo)
    for n in (5, 15, 30):
        out[f"noise σ {n}"] = pixels(lambda v, r, n=n: v * 0.8 + 25 + r.normal(0, n, v.shape))
    return out


def robust(m, boards, threshold, every):
    out = {}
    for name, f in conditions().items():
        s = summary(m, scores(m, [f(b) for b in every_pair(boards, every)]), threshold)
        out[name] = s
        print(f"| {name} | {s['ap50']:.3f} | {s['recall']:.3f} | {s['precision']:.3f} | {s['escapes']}/{s['defective_boards']} | {s['false_rejects']}/{s['good_boards']} | {s['unfit']} |", flush=True)
    return out


def every_pair(boards, n):
    """Every nth defective board and every nth good one."""
    return [b for b in boards if len(b.boxes)][::n] + [b for b in boards if not len(b.boxes)][::n]


def timing(paths, rounds=60):
    """Median milliseconds of a run, the models taking turns."""
    ss = {Path(p).stem: session(p) for p in paths}
    xs = {k: np.random.default_rng(0).random([int(d) for d in s.get_inputs()[0].shape], np.float32) for k, s in ss.items()}
    ts = {k: [] for k in ss}
    for _ in range(rounds):
        for k, s in ss.items():
            t = time.perf_counter()
            s.run(None, {s.get_inputs()[0].name: xs[k]})
            ts[k].append(1e3 * (time.perf_counter() - t))
    return {k: {"median_ms": round(float(np.median(v)), 2), "best_ms": round(min(v), 2)} for k, v in ts.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--data", action="append", default=[])
    p.add_argument("--threshold", type=float)
    p.add_argument("--robust", action="store_true")
    p.add_argument("--every", type=int, default=1, help="with --robust: only every nth board")
    p.add_argument("--time", nargs="+", default=[])
    p.add_argument("--out", type=Path)
    args = p.parse_args()
    result = {}
    if args.time:
        result["time"] = timing([args.model, *args.time])
        print(json.dumps(result["time"], indent=1))
    if args.data:
        m = Model(args.model)
        t = args.threshold or m.threshold
        boards = data.read([b for spec in args.data for b in data.open_set(spec)])
        if args.robust:
            result["robust"] = robust(m, boards, t, args.every)
        else:
            s = scores(m, boards)
            result["scores"] = summary(m, s, t)
            result["confusion"] = s.confusion(t).tolist()
            for group in sorted({b.group for b in boards}):
                k = [i for i, b in enumerate(boards) if b.group == group]
                result.setdefault("groups", {})[group] = summary(m, metrics.Scores([boards[i] for i in k], [s.dets[i] for i in k], len(m.labels), s.fit[k]), t)
            print(json.dumps(result, indent=1))
            if args.out:
                args.out.mkdir(parents=True, exist_ok=True)
                plots.precision_recall(s, m.labels, args.out / "precision-recall.png")
                plots.confusion(s.confusion(t), m.labels, args.out / "confusion.png")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        name = "robust.json" if args.robust else "scores.json"
        (args.out / name).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
