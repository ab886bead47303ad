"""Detections from raw outputs, and how good they are.

decode() follows the program's own yolox decoder, and average_precision() the
COCO API's rules (101 recall levels); both are checked against the program.
"""
import numpy as np

from .model import BOARD, SCENES, STRIDE

# Share of the cells that must show a board for a picture to be judged.
MIN_SHARE = 0.1


def iou_matrix(a, b):
    """IoU of every box of a [n,4] with every box of b [m,4]."""
    lt = np.maximum(a[:, None, :2], b[None, :, :2])
    rb = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(rb - lt, 0, None).prod(2)
    area = lambda t: (t[:, 2] - t[:, 0]) * (t[:, 3] - t[:, 1])
    return inter / np.maximum(area(a)[:, None] + area(b)[None] - inter, 1e-9)


def decode(rows, height, width, min_score=0.01, iou=0.45, limit=100):
    """Boxes [n,4], scores, classes of one picture's output [cells,5+C], best first,
    after suppression within each class."""
    cols = -(-width // STRIDE)
    p = rows[:, 5:].max(1) * rows[:, 4]
    keep = np.flatnonzero(p >= min_score)
    keep = keep[np.argsort(-p[keep], kind="stable")][:1000]
    r, score, cls = rows[keep], p[keep], rows[keep, 5:].argmax(1)
    centre = (r[:, :2] + np.stack([keep % cols, keep // cols], 1)) * STRIDE
    half = np.exp(r[:, 2:4]) * STRIDE / 2
    box = np.concatenate([centre - half, centre + half], 1)
    box[:, 0::2], box[:, 1::2] = box[:, 0::2].clip(0, width), box[:, 1::2].clip(0, height)
    alive, out = np.ones(len(keep), bool), []
    over = iou_matrix(box, box) > iou
    for i in range(len(keep)):
        if not alive[i]:
            continue
        out.append(i)
        alive[over[i] & (cls == cls[i])] = False
    out = out[:limit]
    return box[out], score[out], cls[out]


def judge(scene):
    """What a picture shows, from its cells' logits [cells,scenes]: SCENES[BOARD] if
    it can be judged, else why not. The program decides likewise."""
    share = np.bincount(scene.argmax(1), minlength=len(SCENES)) / len(scene)
    others = [share[i] for i in range(len(SCENES)) if i not in (0, BOARD)]
    if share[BOARD] >= MIN_SHARE and share[BOARD] >= max(others):
        return SCENES[BOARD]
    share[BOARD] = 0
    return SCENES[int(share.argmax())]


def match(dets, truth, iou):
    """COCO's greedy match of one class over all pictures: a list of (score, hit)."""
    out = []
    for (bx, sc), gt in zip(dets, truth):
        taken, m = np.zeros(len(gt), bool), iou_matrix(bx, gt) if len(gt) and len(bx) else None
        for i in range(len(bx)):
            hit = False
            if m is not None:
                v = np.where(taken, -1, m[i])
                j = int(v.argmax())
                if v[j] >= iou:
                    taken[j] = hit = True
            out.append((sc[i], hit))
    return out


def average_precision(rulings, positives):
    """Area under the enveloped precision at 101 recall levels."""
    if not positives:
        return float("nan")
    rulings = sorted(rulings, key=lambda r: -r[0])
    tp = np.cumsum([h for _, h in rulings]) if rulings else np.zeros(0)
    recall, precision = tp / positives, tp / np.arange(1, len(tp) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.mean([precision[i] if i < len(precision) else 0.0 for i in at]))


class Scores:
    """The answers to a set of boards: dets per board (boxes, scores, classes). Of a
    board whose picture could not be judged (fit is false) nothing counts as
    found, but it is no escape either: nobody takes it for good."""

    def __init__(self, boards, dets, classes, fit=None):
        self.fit = np.ones(len(boards), bool) if fit is None else np.array(fit, bool)
        self.boards, self.classes = boards, classes
        self.dets = [d if ok else tuple(v[:0] for v in d) for d, ok in zip(dets, self.fit)]

    def rulings(self, c, iou):
        d = [(b[k == c], s[k == c]) for b, s, k in self.dets]
        return match(d, [b.boxes[b.cls == c] for b in self.boards], iou)

    def ap(self, iou):
        """AP per class at one IoU."""
        return [average_precision(self.rulings(c, iou), sum(int((b.cls == c).sum()) for b in self.boards))
                for c in range(self.classes)]

    def coco(self):
        """(AP over IoU 0.5..0.95, AP50 per class, AP at IoU 0.33 per class)."""
        ap = np.nanmean([self.ap(t) for t in np.arange(0.5, 1.0, 0.05)])
        return float(ap), self.ap(0.5), self.ap(0.33)

    def boards_at(self, score):
        """(escapes, defective boards, false rejects, good boards) at a threshold."""
        top = np.array([s.max() if len(s) else 0.0 for _, s, _ in self.dets])
        bad = np.array([len(b.boxes) > 0 for b in self.boards])
        return int((top[bad & self.fit] < score).sum()), int(bad.sum()), int((top[~bad] >= score).sum()), int((~bad).sum())

    def precision_recall(self, score, iou=0.5):
        """(precision, recall) over all classes at a threshold."""
        r = [x for c in range(self.classes) for x in self.rulings(c, iou) if x[0] >= score]
        hits, n = sum(h for _, h in r), sum(len(b.boxes) for b in self.boards)
        return hits / max(1, len(r)), hits / max(1, n)

    def confusion(self, score, iou=0.5):
        """Rows: truth and, last, nothing; columns: answer and, last, nothing."""
        m = np.zeros((self.classes + 1, self.classes + 1), int)
        for b, (bx, sc, k) in zip(self.boards, self.dets):
            keep = sc >= score
            bx, k = bx[keep], k[keep]
            taken = np.zeros(len(b.boxes), bool)
            for i in range(len(bx)):
                v = np.where(taken, -1, iou_matrix(bx[i:i + 1], b.boxes)[0]) if len(b.boxes) else np.zeros(0)
                j = int(v.argmax()) if len(v) and v.max() >= iou else -1
                if j >= 0:
                    taken[j] = True
                m[b.cls[j] if j >= 0 else -1, k[i]] += 1
            for c in b.cls[~taken]:
                m[c, -1] += 1
        return m

    def best_threshold(self):
        """The score with the fewest escapes plus false rejects; the middle of the
        widest such range of scores."""
        grid = np.arange(0.05, 0.96, 0.01)
        cost = []
        for t in grid:
            e, d, f, g = self.boards_at(t)
            cost.append(e / max(1, d) + f / max(1, g))
        ok = np.flatnonzero(np.array(cost) <= min(cost) + 1e-9)
        runs = np.split(ok, np.flatnonzero(np.diff(ok) > 1) + 1)
        longest = max(runs, key=len)
        return round(float(grid[longest[len(longest) // 2]]), 2)
