"""Training crops: cut out of the boards and changed at random, a whole batch at
a time, on the processor or on a GPU.

Coordinates are pixel edges, as in the labels: pixel i reaches from i to i+1.
"""
import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from .model import BLURRED, BOARD, INVERTED, NOTHING, STRIDE

# Shares of the crops that show something that cannot be judged. On those the
# network learns to be silent, and to say why. Only crops that show what is round
# about a board are inverted: of a board alone, whose layout is not known, one
# cannot tell. SHARE_INVERTED is of those.
SHARE_INVERTED, SHARE_BLURRED, SHARE_NOTHING = 0.2, 0.08, 0.07
# Boxes of which less than this is in view are neither asked for nor forbidden.
VISIBLE, TRACE = 0.6, 0.02


def leaves(n, size=480, seed=1):
    """n pictures of overlapping discs and rectangles of all sizes and greys: the
    dead leaves model, whose statistics are those of photographs (Lee, Mumford and
    Huang 2001)."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(n):
        im = np.full((size, size), int(rng.integers(256)), np.uint8)
        for _ in range(int(rng.integers(60, 500))):
            r = int(min(size / 2, 3 / rng.random() ** 0.8))
            x, y, grey = (int(v) for v in (*rng.integers(0, size, 2), rng.integers(256)))
            if rng.random() < 0.5:
                cv2.circle(im, (x, y), r, grey, -1, cv2.LINE_AA)
            else:
                box = cv2.boxPoints(((x, y), (2 * r, 2 * r * rng.uniform(0.2, 1)), rng.uniform(0, 180)))
                cv2.fillPoly(im, [box.astype(np.int32)], grey, cv2.LINE_AA)
        shade = cv2.resize(rng.normal(1, 0.15, (4, 4)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        im = cv2.GaussianBlur(im, (0, 0), rng.uniform(0.3, 1.5)) * shade + rng.normal(0, rng.uniform(0, 6), im.shape)
        out.append(np.clip(im, 0, 255).astype(np.uint8))
    return out


class Pool:
    """Boards of one set in one tensor, so that a batch is one gather. Boards
    without defects are drawn a little less often."""

    def __init__(self, boards, device):
        h, w = (max(b.pixels.shape[i] for b in boards) for i in (0, 1))
        most = max(1, max(len(b.boxes) for b in boards))
        px = np.full((len(boards), h, w), 255, np.uint8)
        box = np.zeros((len(boards), most, 4), np.float32)
        cls = np.full((len(boards), most), -1, np.int64)
        many = max([1] + [len(b.areas) for b in boards if b.areas is not None])
        areas = np.zeros((len(boards), many, 4), np.float32)
        for i, b in enumerate(boards):
            px[i, :b.pixels.shape[0], :b.pixels.shape[1]] = b.pixels
            box[i, :len(b.boxes)], cls[i, :len(b.boxes)] = b.boxes, b.cls
            if b.areas is None:
                areas[i, 0] = 0, 0, b.pixels.shape[1], b.pixels.shape[0]
            else:
                areas[i, :len(b.areas)] = b.areas
        put = lambda a: torch.from_numpy(a).to(device)
        self.pixels, self.boxes, self.cls, self.areas = put(px), put(box), put(cls), put(areas)
        self.size = put(np.array([b.pixels.shape[::-1] for b in boards], np.float32))  # width, height
        self.weight = put(np.array([1.0 if len(b.boxes) else 0.75 for b in boards], np.float32))


class Batch:
    """size: side of the crops. x: [B,1,size,size] in 0..255. boxes [B,M,4], cls
    [B,M], -1 where there is none; ignore [B,M]: allowed, not asked for. scene
    [B,h,w] is what each cell shows (see model.SCENES), -1: either way."""

    def __init__(self, x, boxes, cls, ignore, scene):
        self.x, self.boxes, self.cls, self.ignore, self.scene = x, boxes, cls, ignore, scene


class Crops:
    """Draws batches from pools by their weights. Same seed and device, same batches."""

    def __init__(self, pools, weights, size, batch, seed, device, nothing=()):
        self.pools, self.size, self.batch, self.device = pools, size, batch, device
        self.weights = torch.tensor(weights, dtype=torch.float32)
        self.cpu = torch.Generator().manual_seed(seed)
        self.gen = torch.Generator(device).manual_seed(seed)
        self.nothing = [torch.from_numpy(im).to(device) for im in nothing]
        self.most = max(p.boxes.shape[1] for p in pools)

    def rand(self, *shape, lo=0.0, hi=1.0):
        return torch.rand(shape, generator=self.gen, device=self.device) * (hi - lo) + lo

    def chance(self, n, p):
        return self.rand(n) < p

    def __next__(self):
        share = torch.multinomial(self.weights, self.batch, replacement=True, generator=self.cpu)
        parts = [self.cut(p, int((share == k).sum())) for k, p in enumerate(self.pools) if (share == k).any()]
        x, boxes, cls, ignore, scene = (torch.cat(v) for v in zip(*parts))
        x = self.light(x)
        return self.spoil(Batch(x, boxes, cls, ignore, scene))

    def place(self, pool, pick, n):
        """Where to look and how: the map A, t from the picture to the crop, [n,2,2] and [n,2]."""
        size, wh = self.size, pool.size[pick]
        boxes, has = pool.boxes[pick], pool.cls[pick] >= 0
        which = torch.multinomial(has.float() + 1e-6, 1, generator=self.gen)[:, 0]
        b = boxes[torch.arange(n, device=self.device), which]
        near = (b[:, :2] + b[:, 2:]) / 2 + self.rand(n, 2, lo=-0.4, hi=0.4) * size
        centre = torch.where((has.any(1) & self.chance(n, 0.75))[:, None], near, self.rand(n, 2) * wh)
        s = torch.where(self.chance(n, 0.6), self.rand(n, lo=-0.3, hi=0.3).exp(), 1.0)
        free = torch.where(self.chance(n, 0.15), self.rand(n, lo=-math.pi / 4, hi=math.pi / 4), 0.0)
        shear = torch.where(self.chance(n, 0.1), self.rand(n, lo=-0.2, hi=0.2), 0.0)
        squeeze = torch.where(self.chance(n, 0.1), self.rand(n, lo=-0.15, hi=0.15).exp(), 1.0)
        # Stay inside: what lies beyond the picture is no board.
        half = (size / 2 / s)[:, None]
        inside = torch.maximum(torch.minimum(centre, torch.maximum(wh - half, wh / 2)), torch.minimum(half, wh / 2))
        centre = torch.where(self.chance(n, 0.9)[:, None], inside, centre)
        quarter = torch.randint(0, 4, (n,), generator=self.gen, device=self.device)
        angle, flip = quarter * (math.pi / 2) + free, torch.where(self.chance(n, 0.5), -1.0, 1.0)
        c, sn = torch.cos(angle) * s, torch.sin(angle) * s
        a = torch.stack([torch.stack([c * flip, -sn * squeeze + c * flip * shear], 1),
                         torch.stack([sn * flip, c * squeeze + sn * flip * shear], 1)], 1)
        # Pixels that are only moved and turned stay what they are.
        exact = (s == 1) & (free == 0) & (shear == 0) & (squeeze == 1)
        a = torch.where(exact[:, None, None], a.round(), a)
        centre = torch.where(exact[:, None], centre.floor(), centre)
        return a, size / 2 - (a @ centre[:, :, None])[:, :, 0]

    def cut(self, pool, n):
        """n crops of a pool: pixels, boxes, classes, boxes to ignore, scene."""
        size, dev = self.size, self.device
        pick = torch.multinomial(pool.weight, n, replacement=True, generator=self.gen)
        a, t = self.place(pool, pick, n)
        back = torch.linalg.inv(a)
        at = torch.arange(size, device=dev) + 0.5
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).reshape(1, -1, 2) - t[:, None]
        src = (grid @ back.transpose(1, 2)).reshape(n, size, size, 2)  # in pixels of the picture
        h, w = pool.pixels.shape[1:]
        wh = pool.size[pick][:, None, None]
        beyond = ((src < 0) | (src >= wh)).any(-1)
        flat = torch.tensor([w, h], device=dev)
        x = F.grid_sample(pool.pixels[pick][:, None].float(), torch.minimum(src.clamp(min=0.5), wh - 0.5) * (2 / flat) - 1,
                          mode="bilinear", padding_mode="border", align_corners=False)
        fill = torch.where(self.chance(n, 0.5), -1.0, self.rand(n, hi=255))  # -1: go on with the edge
        fill = fill[:, None, None].expand(-1, size, size)
        x = torch.where((beyond & (fill >= 0))[:, None], fill[:, None], x)
        boxes, ignore, cls = self.labels(pool, pick, a, t)
        return x, boxes, cls, ignore, self.scene(pool, pick, src, beyond)

    def labels(self, pool, pick, a, t):
        b, cls = pool.boxes[pick], pool.cls[pick]
        mid = (a[:, None] @ ((b[..., :2] + b[..., 2:]) / 2)[..., None])[..., 0] + t[:, None]
        half = (b[..., 2:] - b[..., :2]) / 2
        # The defect fills an ellipse in its box rather than the corners.
        e = (a[:, None] ** 2 @ (half ** 2)[..., None])[..., 0].sqrt()
        cut = torch.cat([mid - e, mid + e], -1).clamp(0, self.size)
        area = lambda v: (v[..., 2] - v[..., 0]).clamp(min=0) * (v[..., 3] - v[..., 1]).clamp(min=0)
        seen = area(cut) / (4 * e.prod(-1)).clamp(min=1)
        ignore = (cls >= 0) & (seen > TRACE) & (seen < VISIBLE)
        cls = torch.where(seen >= VISIBLE, cls, -1)
        pad = self.most - cls.shape[1]
        return F.pad(cut, (0, 0, 0, pad)), F.pad(ignore, (0, pad)), F.pad(cls, (0, pad), value=-1)

    def scene(self, pool, pick, src, beyond):
        """What each cell shows, judged in its middle; -1 near where board and nothing meet."""
        at = slice(STRIDE // 2, None, STRIDE)
        p, areas = src[:, at, at], pool.areas[pick][:, None, None]
        gap = torch.minimum(p[..., None, :] - areas[..., :2], areas[..., 2:] - p[..., None, :]).amin(-1).amax(-1)
        scene = torch.where(gap > 0, BOARD, NOTHING)
        return torch.where((gap.abs() < STRIDE) & ((areas[..., 2] > 0).any(-1)) | beyond[:, at, at], -1, scene)

    def light(self, x):
        """Contrast, brightness, uneven light, blur and noise, each with a chance of its own."""
        n, size, dev = len(x), self.size, self.device
        one = lambda v: v[:, None, None, None]
        soft = self.chance(n, 0.2).nonzero()[:, 0]
        if len(soft):
            k = torch.arange(-4, 5, device=dev)
            g = torch.exp(-k ** 2 / (2 * self.rand(len(soft), 1, lo=0.4, hi=1.7) ** 2))
            g = (g / g.sum(1, keepdim=True))[:, None]
            y = F.pad(x[soft, 0][None], (4, 4, 4, 4), mode="replicate")
            y = F.conv2d(F.conv2d(y, g[:, :, :, None], groups=len(soft)), g[:, :, None, :], groups=len(soft))
            x = x.index_copy(0, soft, y[0][:, None])
        lo = self.rand(n, hi=110)
        hi = lo + 70 + self.rand(n) * (185 - lo)
        grey = self.chance(n, 0.35)
        ramp = torch.linspace(-1, 1, size, device=dev)
        slope = torch.where(self.chance(n, 0.6)[:, None], self.rand(n, 2, lo=-0.25, hi=0.25), 0.0)
        uneven = 1 + one(slope[:, 0]) * ramp[None, None, None] + one(slope[:, 1]) * ramp[None, None, :, None]
        sigma = torch.where(self.chance(n, 0.7), self.rand(n, lo=1, hi=14), 0.0)
        noise = torch.randn(x.shape, generator=self.gen, device=dev) * one(sigma)
        dim = (x * one((hi - lo) / 255) + one(lo)) * uneven + noise
        hard = torch.where(x > one(self.rand(n, lo=70, hi=190)), 255.0, 0.0)
        x = torch.where(one(grey), dim, torch.where(one(self.chance(n, 0.1)), hard, x))
        return x.clamp(0, 255)

    def spoil(self, b):
        """Turns some crops into pictures that cannot be judged."""
        lot = self.rand(len(b.x))
        blurred = lot < SHARE_BLURRED
        nothing = (lot >= SHARE_BLURRED) & (lot < SHARE_BLURRED + SHARE_NOTHING)
        around = (b.scene == NOTHING).flatten(1).float().mean(1)
        inverted = (lot > 1 - SHARE_INVERTED) & (around > 0.03) & (around < 0.97)
        b.x = torch.where(inverted[:, None, None, None], 255 - b.x, b.x)
        for mask, make in ((blurred, self.blur), (nothing, self.other)):
            k = mask.nonzero()[:, 0]
            if len(k):
                b.x = b.x.index_copy(0, k, make(b.x[k]))
        one = lambda m: m[:, None, None]
        board = b.scene == BOARD
        b.scene = torch.where(one(inverted) & board, INVERTED, torch.where(one(blurred) & board, BLURRED, b.scene))
        b.scene = torch.where(one(nothing), NOTHING, b.scene)
        gone = (inverted | blurred | nothing)[:, None]
        b.cls, b.ignore = torch.where(gone, -1, b.cls), b.ignore & ~gone
        return b

    def blur(self, x):
        """Out of focus: two box filters, about a Gaussian of σ 2.8 to 17 pixels. With
        less, up to the 1.7 of light(), defects are still found."""
        k = 2 * int(torch.randint(3, 21, (1,), generator=self.cpu)) + 1
        for _ in range(2):
            x = F.avg_pool2d(F.pad(x, (k // 2,) * 4, mode="replicate"), k, 1)
        return x + torch.randn(x.shape, generator=self.gen, device=self.device) * self.rand(len(x), 1, 1, 1, hi=8)

    def dice(self, *shape):
        """Random numbers of the processor: asking a GPU for one would stop it."""
        return torch.rand(shape, generator=self.cpu).tolist()

    def other(self, x):
        """Anything but a board: flat, cloudy, or cut out of a picture of something else."""
        out = []
        for kind, level, grain in self.dice(len(x), 3):
            if self.nothing and kind < 0.6:
                out.append(self.elsewhere())
                continue
            y = torch.full((1, self.size, self.size), 255 * level, device=self.device)
            if kind > 0.7:
                sides = (2, 5, 11, 23, 47, 95, 191)
                for side, strength in zip(sides, self.dice(len(sides))):
                    octave = torch.randn((1, 1, side, side), generator=self.gen, device=self.device)
                    y = y + F.interpolate(octave, (self.size, self.size), mode="bicubic")[0] * 40 * strength * (2 / side) ** 0.3
            out.append(y + torch.randn(y.shape, generator=self.gen, device=self.device) * 8 * grain)
        return torch.stack(out).clamp(0, 255)

    def elsewhere(self):
        """A crop of some other picture, at some scale, mirrored or not."""
        which, scale, top, left, mirror = self.dice(5)
        im = self.nothing[int(which * len(self.nothing))]
        h, w = im.shape
        side = int(min(h, w) * (0.3 + 0.7 * scale))
        y, x = int(top * (h - side + 1)), int(left * (w - side + 1))
        part = F.interpolate(im[None, None, y:y + side, x:x + side].float(), (self.size, self.size), mode="area" if side > self.size else "bilinear")[0]
        return part.flip(-1) if mirror < 0.5 else part
