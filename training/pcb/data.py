"""Reading labelled boards."""
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

CLASSES = ["open", "short", "mousebite", "spur", "copper", "pin-hole"]


@dataclass
class Board:
    """One picture: where it is, its boxes [n,4] in pixels (x1,y1,x2,y2), their
    classes, and the areas [m,4] in which there is a board (None: everywhere)."""
    path: Path
    boxes: np.ndarray
    cls: np.ndarray
    group: str
    pixels: np.ndarray = None
    areas: np.ndarray = None


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


def same_names(specs):
    """The class names of all sets; they must be the same, since labels are numbers."""
    first = None
    for spec in specs:
        these = names(Path(spec.partition("@")[0]))
        first = first or (spec, these)
        if these != first[1]:
            raise SystemExit(f"{spec} has the classes {', '.join(these)}, {first[0]} has {', '.join(first[1])}: "
                             "all sets need the same names in the same order (names.yaml)")
    return first[1]


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
        b = _board(p, rows, root.name)
        areas = root / "areas" / (p.stem + ".txt")
        if areas.exists():
            h, w = cv2.imread(str(p), cv2.IMREAD_GRAYSCALE).shape
            values = [float(v) for v in areas.read_text().split()]
            b.areas = np.array(values, np.float32).reshape(-1, 4) * np.array([w, h, w, h], np.float32)
        out.append(b)
    return out


def pictures(folder):
    """All pictures of a folder, grey: what is no board at all."""
    found = [cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in sorted(Path(folder).rglob("*"))
             if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp")]
    if not found or any(im is None for im in found):
        raise SystemExit(f"{folder}: no pictures, or one that cannot be read")
    return found


def open_set(spec):
    """The boards of "FOLDER" or "FOLDER@group,group": a DeepPCB folder (with
    trainval.txt) or a YOLO folder (images/, labels/, names.yaml)."""
    folder, _, groups = spec.partition("@")
    root = Path(folder)
    if (root / "trainval.txt").exists():
        wanted = set(filter(None, groups.split(",")))
        boards = _deeppcb(root, wanted)
        if missing := wanted - {b.group for b in boards}:
            raise SystemExit(f"{spec}: no group {', '.join(sorted(missing))}; there are {', '.join(sorted({b.group for b in _deeppcb(root, set())}))}")
    elif (root / "images").is_dir():
        boards = _yolo(root)
    else:
        raise SystemExit(f"{root}: neither a DeepPCB folder (trainval.txt) nor a YOLO folder (images/, labels/)")
    if not boards:
        raise SystemExit(f"{spec}: no pictures")
    return boards


def read(boards):
    """Reads the pixels of all boards into memory, grey, one byte each."""
    with ThreadPoolExecutor() as pool:  # OpenCV decodes without Python's lock
        for b, px in zip(boards, pool.map(lambda b: cv2.imread(str(b.path), cv2.IMREAD_GRAYSCALE), boards)):
            if px is None:
                raise SystemExit(f"{b.path}: not a picture")
            b.pixels = px
    return boards


def digest(boards):
    """SHA-256 over pixels and labels, so that two runs can be told to have seen the same."""
    h = hashlib.sha256()
    for b in boards:
        h.update(b.pixels.tobytes()), h.update(b.boxes.tobytes()), h.update(b.cls.tobytes())
    return h.hexdigest()


def mean_std(boards):
    """Mean and deviation over all pixels of the set, of about a thousand boards if it is large."""
    boards = boards[::max(1, len(boards) // 1000)]
    n = sum(b.pixels.size for b in boards)
    hist = sum(np.bincount(b.pixels.ravel(), minlength=256) for b in boards)
    v = np.arange(256)
    mean = float((hist * v).sum() / n)
    return round(mean, 3), round(float(np.sqrt((hist * (v - mean) ** 2).sum() / n)), 3)
