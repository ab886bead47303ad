"""The training loss: which cells answer for which box, and how wrong they are."""
import torch
import torch.nn.functional as F

from .model import STRIDE


def assign(boxes, h, w):
    """Positive cells of boxes [n,4] (x1,y1,x2,y2): the centre's own cell and its
    nearest neighbour on either axis, as YOLOv5. Of two boxes that want a cell the
    one with the nearer centre gets it. Returns (cells, index of the box)."""
    c = (boxes[:, :2] + boxes[:, 2:]) / 2 / STRIDE
    own = c.floor()
    step = torch.where(c - own < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(step[:, 0])
    cand = torch.stack([own, own + torch.stack([step[:, 0], zero], 1), own + torch.stack([zero, step[:, 1]], 1)], 1)
    dist = (cand + 0.5 - c[:, None]).abs().sum(2)
    ok = (cand[..., 0] >= 0) & (cand[..., 0] < w) & (cand[..., 1] >= 0) & (cand[..., 1] < h)
    cells = (cand[..., 1] * w + cand[..., 0]).long()
    best = {}
    for i, j in ok.nonzero().tolist():
        k, d = int(cells[i, j]), float(dist[i, j])
        if k not in best or d < best[k][0]:
            best[k] = (d, i)
    keys = list(best)
    return torch.tensor(keys, dtype=torch.long), torch.tensor([best[k][1] for k in keys], dtype=torch.long)


def giou(a, b):
    """Generalised IoU (Rezatofighi et al. 2019) and IoU of boxes x1,y1,x2,y2 row by row."""
    lt, rb = torch.max(a[:, :2], b[:, :2]), torch.min(a[:, 2:], b[:, 2:])
    inter = (rb - lt).clamp(min=0).prod(1)
    area = lambda t: (t[:, 2:] - t[:, :2]).clamp(min=0).prod(1)
    union = area(a) + area(b) - inter + 1e-6
    hull = (torch.max(a[:, 2:], b[:, 2:]) - torch.min(a[:, :2], b[:, :2])).prod(1) + 1e-6
    iou = inter / union
    return iou - (hull - union) / hull, iou


def loss(box_map, score_map, truth, ignore):
    """The loss of a batch. truth: per picture (boxes [n,4], classes [n]); ignore:
    per picture boxes in which an object is allowed but not asked for."""
    b, _, h, w = box_map.shape
    box = box_map.flatten(2).transpose(1, 2).float()
    score = score_map.flatten(2).transpose(1, 2).float()
    target = torch.zeros(b, h * w)
    weight = torch.ones(b, h * w)
    gx = (torch.arange(w) + 0.5) * STRIDE
    gy = (torch.arange(h) + 0.5) * STRIDE
    rows, cells, want, cls = [], [], [], []
    for i in range(b):
        for x1, y1, x2, y2 in ignore[i].tolist():
            inside = ((gy > y1 - STRIDE) & (gy < y2 + STRIDE))[:, None] & ((gx > x1 - STRIDE) & (gx < x2 + STRIDE))[None]
            weight[i][inside.flatten()] = 0
        bs, cs = truth[i]
        if len(bs) == 0:
            continue
        k, j = assign(bs, h, w)
        rows.append(torch.full_like(k, i)), cells.append(k), want.append(bs[j]), cls.append(cs[j])
    n = max(1, sum(len(k) for k in cells))
    zero = box.sum() * 0
    l_box = l_cls = zero
    if cells:
        rows, cells, want, cls = map(torch.cat, (rows, cells, want, cls))
        p = box[rows, cells]
        grid = torch.stack([cells % w, cells // w], 1).float()
        centre, half = (p[:, :2] + grid) * STRIDE, p[:, 2:].clamp(-3, 4).exp() * STRIDE / 2
        g, iou = giou(torch.cat([centre - half, centre + half], 1), want)
        l_box = (1 - g).sum() / n
        weight[rows, cells] = 1
        target[rows, cells] = 0.5 + 0.5 * iou.detach().clamp(0, 1)
        onehot = F.one_hot(cls, score.shape[2] - 1).float()
        l_cls = F.binary_cross_entropy_with_logits(score[rows, cells, 1:], onehot, reduction="sum") / n
    l_obj = (F.binary_cross_entropy_with_logits(score[..., 0], target, reduction="none") * weight).sum() / n
    return 4 * l_box + l_obj + l_cls, (float(l_box.detach()), float(l_obj.detach()), float(l_cls.detach()))
