#!/usr/bin/env python3
"""Cuts out of labelled pictures what a model gets wrong, to train on.

    python training/mine.py models/pcb-defects/pcb-defects.onnx --data work/line --out work/hard

Round each missed defect (none of its class with --score or more at IoU 0.5 or
more) and each false alarm of --score or more a piece of --size pixels is written,
into a YOLO folder like those that `boards` writes. Rare mistakes are most of what
a trained network still learns from (hard example mining; Sung and Poggio 1998,
Shrivastava, Gupta and Girshick 2016). Give it pictures that are neither --val
nor evaluated on.
"""
import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from evaluate import FIT, Model
from pcb import data, metrics
from pcb.augment import TRACE, VISIBLE


def mistakes(b, dets, fit, score):
    """Centres of missed defects and of false alarms. On a picture of which the model
    says that it cannot be judged it finds nothing."""
    boxes, scores, cls = dets
    keep = (scores >= score) & fit
    boxes, cls = boxes[keep], cls[keep]
    same = metrics.iou_matrix(b.boxes, boxes) * (b.cls[:, None] == cls[None])
    missed = b.boxes[same.max(1, initial=0) < 0.5]
    false = boxes[metrics.iou_matrix(boxes, b.boxes).max(1, initial=0) < 0.1]
    both = np.concatenate([missed, false])
    return (both[:, :2] + both[:, 2:]) / 2


def windows(b, centres, size, rng):
    """Pieces of size pixels that show the centres, one for those near each other.
    No defect is cut so that one cannot say whether it is there."""
    out, size = [], min(size, *b.pixels.shape)
    limit = np.array(b.pixels.shape[::-1]) - size
    for c in centres:
        if any((c > w + size * 0.2).all() and (c < w + size * 0.8).all() for w in out):
            continue
        for _ in range(20):
            w = np.clip(c - size * rng.uniform(0.3, 0.7, 2), 0, limit).astype(int)
            seen = shares(b.boxes, w, size)
            if not ((seen > TRACE) & (seen < VISIBLE)).any():
                out.append(w)
                break
    return out


def clipped(boxes, corner, size):
    return np.clip(boxes - np.tile(corner, 2), 0, size)


def shares(boxes, corner, size):
    """How much of each box a piece shows."""
    area = lambda v: (v[:, 2] - v[:, 0]) * (v[:, 3] - v[:, 1])
    return area(clipped(boxes, corner, size)) / np.maximum(area(boxes), 1e-6)


def rows(boxes, size):
    return np.concatenate([boxes[:, :2] + boxes[:, 2:], 2 * (boxes[:, 2:] - boxes[:, :2])], 1) / (2 * size)


def write(out, name, b, corner, size):
    x, y = corner
    cv2.imwrite(str(out / "images" / f"{name}.png"), b.pixels[y:y + size, x:x + size])
    kept = shares(b.boxes, corner, size) >= VISIBLE
    lines = [f"{c} " + " ".join(f"{v:.6f}" for v in r) for c, r in zip(b.cls[kept], rows(clipped(b.boxes[kept], corner, size), size))]
    (out / "labels" / f"{name}.txt").write_text("\n".join(lines))
    if b.areas is not None:
        a = clipped(b.areas, corner, size)
        a = a[(a[:, 2] > a[:, 0]) & (a[:, 3] > a[:, 1])] / size
        (out / "areas" / f"{name}.txt").write_text("\n".join(" ".join(f"{v:.6f}" for v in r) for r in a))


def mine(job):
    """Mines one share of the pictures, numbered; returns how many pieces it wrote."""
    args, boards = job
    m, n = Model(args.model), 0
    for number, b in boards:
        data.read([b])
        dets, scene = m(b.pixels, min_score=args.score)
        centres = mistakes(b, dets, scene == FIT, args.score)
        for k, corner in enumerate(windows(b, centres, args.size, np.random.default_rng(number))):
            write(args.out, f"{number:06d}-{k}", b, corner, min(args.size, *b.pixels.shape))
            n += 1
        b.pixels = None
    return n


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--data", action="append", required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--score", type=float, default=0.5)
    p.add_argument("--size", type=int, default=448)
    p.add_argument("--processes", type=int, default=2)
    args = p.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        raise SystemExit(f"{args.out} is not empty: pieces of several runs must not mix; name another --out")
    names = data.same_names(args.data)
    if names != Model(args.model).labels:
        raise SystemExit(f"{args.model} knows {', '.join(Model(args.model).labels)}, the data have {', '.join(names)}")
    for d in ("images", "labels", "areas"):
        (args.out / d).mkdir(parents=True, exist_ok=True)
    (args.out / "names.yaml").write_text(f"names: [{', '.join(names)}]\n")
    boards = list(enumerate(b for spec in args.data for b in data.open_set(spec)))
    with ProcessPoolExecutor(args.processes) as pool:
        n = sum(pool.map(mine, [(args, boards[k::args.processes]) for k in range(args.processes)]))
    print(f"{n} pieces of {len(boards)} pictures in {args.out}")


if __name__ == "__main__":
    main()
