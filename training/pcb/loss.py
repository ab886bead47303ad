"""The training loss: which cells answer for which box, and how wrong they are."""
import torch
import torch.nn.functional as F

from .model import STRIDE


def assign(boxes, valid, h, w):
    """Cells that answer for boxes [B,M,4] (x1,y1,x2,y2) where valid [B,M]: the
    centre's own cell and its nearest neighbour on either axis, as YOLOv5. Of two
    boxes that want a cell the one with the nearer centre gets it. Returns cells
    [B,M,3] and which of them count."""
    c = (boxes[..., :2] + boxes[..., 2:]) / 2 / STRIDE
    own = c.floor()
    step = torch.where(c - own < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(step[..., 0])
    cand = torch.stack([own, own + torch.stack([step[..., 0], zero], -1), own + torch.stack([zero, step[..., 1]], -1)], 2)
    dist = (cand + 0.5 - c[:, :, None]).abs().sum(-1)
    ok = valid[..., None] & (cand >= 0).all(-1) & (cand[..., 0] < w) & (cand[..., 1] < h)
    cells = torch.where(ok, cand[..., 1] * w + cand[..., 0], 0).long()
    dist = torch.where(ok, dist, torch.inf)
    nearest = torch.full((len(boxes), h * w), torch.inf, device=boxes.device)
    nearest = nearest.scatter_reduce(1, cells.flatten(1), dist.flatten(1), "amin")
    return cells, ok & (dist == nearest.gather(1, cells.flatten(1)).view_as(dist))


def giou(a, b):
    """Generalised IoU (Rezatofighi et al. 2019) and IoU of boxes x1,y1,x2,y2."""
    lt, rb = torch.max(a[..., :2], b[..., :2]), torch.min(a[..., 2:], b[..., 2:])
    inter = (rb - lt).clamp(min=0).prod(-1)
    area = lambda t: (t[..., 2:] - t[..., :2]).clamp(min=0).prod(-1)
    union = area(a) + area(b) - inter + 1e-6
    hull = (torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2])).prod(-1) + 1e-6
    iou = inter / union
    return iou - (hull - union) / hull, iou


def allowed(b, h, w):
    """[B,h·w]: cells in or beside a box to ignore, in which an object may be or not."""
    at = lambda n: ((torch.arange(n, device=b.boxes.device) + 0.5) * STRIDE)[None, None]
    x1, y1, x2, y2 = (v[..., None] for v in b.boxes.unbind(-1))
    across = (at(w) > x1 - STRIDE) & (at(w) < x2 + STRIDE)
    down = (at(h) > y1 - STRIDE) & (at(h) < y2 + STRIDE) & b.ignore[..., None]
    return (down[..., :, None] & across[..., None, :]).any(1).flatten(1)


def loss(maps, b):
    """The loss of a batch (augment.Batch): the sum, and its parts as a tensor
    (box, objectness, class, scene)."""
    box, score, scene = maps
    h, w = box.shape[2:]
    box = box.flatten(2).transpose(1, 2).float()
    score = score.flatten(2).transpose(1, 2).float()
    cells, ok = assign(b.boxes, b.cls >= 0, h, w)
    flat, m = cells.flatten(1), ok.flatten(1).float()
    n = m.sum().clamp(min=1)
    p = box.gather(1, flat[..., None].expand(-1, -1, 4))
    grid = torch.stack([flat % w, flat // w], -1).float()
    centre, half = (p[..., :2] + grid) * STRIDE, p[..., 2:].clamp(-3, 4).exp() * STRIDE / 2
    want = b.boxes[:, :, None].expand(-1, -1, 3, -1).flatten(1, 2)
    g, _ = giou(torch.cat([centre - half, centre + half], -1), want)
    l_box = ((1 - g) * m).sum() / n
    # A cell that wins nothing writes a 0, which the maximum leaves alone.
    target = torch.zeros(score.shape[:2], device=box.device).scatter_reduce(1, flat, m, "amax")
    weight = ((target > 0) | ~allowed(b, h, w)).float()
    l_obj = (F.binary_cross_entropy_with_logits(score[..., 0], target, reduction="none") * weight).sum() / n
    logits = score.gather(1, flat[..., None].expand(-1, -1, score.shape[2]))[..., 1:]
    cls = F.one_hot(b.cls.clamp(min=0)[:, :, None].expand(-1, -1, 3).flatten(1), logits.shape[-1]).float()
    l_cls = (F.binary_cross_entropy_with_logits(logits, cls, reduction="none").sum(-1) * m).sum() / n
    known = (b.scene >= 0).sum().clamp(min=1)
    l_scene = F.cross_entropy(scene.float(), b.scene, ignore_index=-1, reduction="sum") / known
    return 4 * l_box + l_obj + l_cls + l_scene, torch.stack([l_box, l_obj, l_cls, l_scene]).detach()
