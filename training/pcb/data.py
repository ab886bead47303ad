"""Reading labelled boards, and turning them into augmented training crops."""
import hashlib
import queue
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

CLASSES = ["open", "short", "mousebite", "spur", "copper", "pin-hole"]


@dataclass
class Board:
    """One picture: where it is, its boxes [n,4] in pixels (x1,y1,x2,y2), their classes."""
    path: Path
    boxes: np.ndarray
    cls: np.ndarray
    group: str
    pixels: np.ndarray = None


def _board(path, rows, group):
    rows = np.array(rows, np.float32).reshape(-1, 5)
    return Board(path, rows[:, :4], rows[:, 4].astype(np.int64), group)


def _deeppcb(root, groups):
    out = []
    for line in (root / "trainval.txt").read_text().splitlines():
        if not line.strip():
            continue
        image, label = line.split()
        group = image.split("/")[0]
        if groups and group not in groups:
            continue
        rows = [[float(v) for v in r.split()] for r in (root / label).read_text().splitlines() if r.strip()]
        rows = [r[:4] + [r[4] - 1] for r in rows]
        stem = root / image.removesuffix(".jpg")
        out.append(_board(Path(f"{stem}_test.jpg"), rows, group))
        out.append(_board(Path(f"{stem}_temp.jpg"), [], group))
    return out


def names(root):
    """The class names of a YOLO folder (names.yaml: a list or a mapping from 0)."""
    for f in ("names.yaml", "data.yaml"):
        p = root / f
        if p.exists():
            text = p.read_text()
            inline = re.search(r"^names:\s*\[(.*?)\]", text, re.S | re.M)
            if inline:
                return [s.strip().strip("'\"") for s in inline[1].split(",")]
            body = text.split("names:", 1)[-1]
            return [m.strip().strip("'\"") for m in re.findall(r"^\s*(?:-|\d+:)\s*(.+)$", body, re.M)]
    return CLASSES


def _yolo(root):
    out = []
    for p in sorted((root / "images").iterdir()):
        if p.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp"):
            continue
        label, rows = root / "labels" / (p.stem + ".txt"), []
        if label.exists() and (text := label.read_text().strip()):
            h, w = cv2.imread(str(p), cv2.IMREAD_GRAYSCALE).shape
            for line in text.splitlines():
                c, x, y, bw, bh = map(float, line.split()[:5])
                rows.append([(x - bw / 2) * w, (y - bh / 2) * h, (x + bw / 2) * w, (y + bh / 2) * h, c])
        out.append(_board(p, rows, root.name))
    return out


def open_set(spec):
    """The boards of "FOLDER" or "FOLDER@group,group": a DeepPCB folder (with
    trainval.txt) or a YOLO folder (images/, labels/, names.yaml)."""
    folder, _, groups = spec.partition("@")
    root = Path(folder)
    if (root / "trainval.txt").exists():
        boards = _deeppcb(root, set(filter(None, groups.split(","))))
    elif (root / "images").is_dir():
        boards = _yolo(root)
    else:
        raise SystemExit(f"{root}: neither a DeepPCB folder (trainval.txt) nor a YOLO folder (images/, labels/)")
    if not boards:
        raise SystemExit(f"{spec}: no pictures")
    return boards


def read(boards):
    """Reads the pixels of all boards into memory, grey, one byte each."""
    for b in boards:
        b.pixels = cv2.imread(str(b.path), cv2.IMREAD_GRAYSCALE)
        if b.pixels is None:
            raise SystemExit(f"{b.path}: not a picture")
    return boards


def digest(boards):
    """SHA-256 over pixels and labels, so that two runs can be told to have seen the same."""
    h = hashlib.sha256()
    for b in boards:
        h.update(b.pixels.tobytes()), h.update(b.boxes.tobytes()), h.update(b.cls.tobytes())
    return h.hexdigest()


def mean_std(boards):
    """Mean and deviation over all pixels of the set."""
    n = sum(b.pixels.size for b in boards)
    hist = sum(np.bincount(b.pixels.ravel(), minlength=256) for b in boards)
    v = np.arange(256)
    mean = float((hist * v).sum() / n)
    return round(mean, 3), round(float(np.sqrt((hist * (v - mean) ** 2).sum() / n)), 3)


def light(im, rng):
    """Contrast, brightness, uneven light, blur and noise, each with a chance of its own."""
    f = im
    if rng.random() < 0.2:
        f = cv2.GaussianBlur(f, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.3:
        lo = rng.uniform(0, 110)
        hi = rng.uniform(lo + 70, 255)
        f = f.astype(np.float32) * ((hi - lo) / 255) + lo
        if rng.random() < 0.6:
            h, w = f.shape
            gx = np.linspace(-1, 1, w, dtype=np.float32) * rng.uniform(-0.2, 0.2)
            gy = np.linspace(-1, 1, h, dtype=np.float32) * rng.uniform(-0.2, 0.2)
            f = f * (1 + gx[None] + gy[:, None])
        if rng.random() < 0.7:
            noise = np.empty(f.shape, np.float32)
            f = f + cv2.randn(noise, 0, rng.uniform(1, 14))
    elif rng.random() < 0.1:
        f = cv2.threshold(f, rng.uniform(70, 190), 255, cv2.THRESH_BINARY)[1]
    return np.clip(f, 0, 255).astype(np.uint8)


def crop(b, size, rng):
    """One augmented crop: quarter turn or free turn, mirror, scale, shift, light.
    Returns pixels [size,size], boxes, classes, boxes to ignore."""
    h, w = b.pixels.shape
    if len(b.boxes) and rng.random() < 0.75:
        x1, y1, x2, y2 = b.boxes[rng.integers(len(b.boxes))]
        cx, cy = (x1 + x2) / 2 + rng.uniform(-0.4, 0.4) * size, (y1 + y2) / 2 + rng.uniform(-0.4, 0.4) * size
    else:
        cx, cy = rng.uniform(0, w), rng.uniform(0, h)
    s = np.exp(rng.uniform(-0.25, 0.25)) if rng.random() < 0.5 else 1.0
    if rng.random() < 0.9:  # stay inside: what lies beyond the picture is no board
        m = size / 2 / s
        cx, cy = np.clip(cx, min(m, w / 2), max(w - m, w / 2)), np.clip(cy, min(m, h / 2), max(h - m, h / 2))
    turn = rng.integers(4) * np.pi / 2
    free = rng.uniform(-np.pi / 4, np.pi / 4) if rng.random() < 0.1 else 0.0
    flip = -1.0 if rng.random() < 0.5 else 1.0
    c, sn = np.cos(turn + free) * s, np.sin(turn + free) * s
    a = np.array([[c * flip, -sn], [sn * flip, c]])
    if s == 1.0 and free == 0.0:
        a, cx, cy = np.round(a), np.floor(cx) + 0.0, np.floor(cy) + 0.0
    t = np.array([size / 2, size / 2]) - a @ np.array([cx, cy])
    # OpenCV's pixel centres are whole numbers, our boxes are pixel edges.
    tc = t - 0.5 + a @ np.array([0.5, 0.5])
    border, value = (cv2.BORDER_REPLICATE, 0) if rng.random() < 0.5 else (cv2.BORDER_CONSTANT, float(rng.integers(256)))
    mode = cv2.INTER_LINEAR if s > 0.9 else cv2.INTER_AREA
    im = cv2.warpAffine(b.pixels, np.hstack([a, tc[:, None]]), (size, size), flags=mode, borderMode=border, borderValue=value)
    boxes, cls, ignore = [], [], []
    for (x1, y1, x2, y2), k in zip(b.boxes, b.cls):
        p = a @ np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + t
        hw, hh = (x2 - x1) / 2, (y2 - y1) / 2
        # The defect fills an ellipse in its box rather than the corners.
        e = np.sqrt(a[:, 0] ** 2 * hw * hw + a[:, 1] ** 2 * hh * hh)
        full = np.concatenate([p - e, p + e])
        cut = np.clip(full, 0, size)
        seen = (cut[2] - cut[0]) * (cut[3] - cut[1]) / (4 * e[0] * e[1])
        if seen <= 0.02:
            continue
        if seen < 0.6:
            ignore.append(cut)
        else:
            boxes.append(cut), cls.append(k)
    f32 = lambda v: np.array(v, np.float32).reshape(-1, 4)
    return light(im, rng), f32(boxes), np.array(cls, np.int64), f32(ignore)


class Loader:
    """Batches of augmented crops, made by one thread ahead of the training step.
    sets: (boards, weight) pairs; boards without defects are drawn half as often."""

    def __init__(self, sets, size, batch, steps, seed):
        self.sets, self.size, self.batch, self.steps = sets, size, batch, steps
        self.rng = np.random.default_rng(seed)
        self.seed = seed
        self.q = queue.Queue(8)
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self):
        cv2.setRNGSeed(self.seed)  # OpenCV's generator is per thread
        weights = np.array([w for _, w in self.sets], float)
        per = []
        for boards, _ in self.sets:
            p = np.array([1.0 if len(b.boxes) else 0.5 for b in boards])
            per.append(p / p.sum())
        for _ in range(self.steps):
            ims, truth, ignore = [], [], []
            for k in self.rng.choice(len(self.sets), self.batch, p=weights / weights.sum()):
                boards = self.sets[k][0]
                im, bx, c, ig = crop(boards[self.rng.choice(len(boards), p=per[k])], self.size, self.rng)
                ims.append(im), truth.append((torch.from_numpy(bx), torch.from_numpy(c))), ignore.append(torch.from_numpy(ig))
            self.q.put((torch.from_numpy(np.stack(ims))[:, None], truth, ignore))

    def __iter__(self):
        for _ in range(self.steps):
            yield self.q.get()
