"""The detector: a small residual network with one stride-16 head.

Only operators that both engines have: convolutions without groups, ReLU, Add,
Sigmoid, Concat, GlobalAveragePool, Reshape and Transpose. Batch normalisation is folded into the
convolutions at export. The output is YOLOX's raw layout (Ge et al. 2021,
arXiv:2107.08430): a row per cell of cx, cy relative to the cell and log w,
log h, all in strides, then the objectness and the class probabilities. A second
output says what each cell shows, so that a picture that cannot be judged is
told from a good board.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

STRIDE = 16

# What a cell may show. All but a board cannot be judged.
SCENES = ["no_board", "board", "inverted", "blurred"]
NOTHING, BOARD, INVERTED, BLURRED = range(len(SCENES))


class ConvBN(nn.Sequential):
    def __init__(self, cin, cout, k, stride=1, relu=True):
        pad = (k - stride + 1) // 2 if stride > 1 and k % 2 == 0 else k // 2
        layers = [nn.Conv2d(cin, cout, k, stride, pad, bias=False), nn.BatchNorm2d(cout)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Residual(nn.Module):
    """A bottleneck: 1×1 to half the channels, 3×3, 1×1 back."""

    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(ConvBN(c, c // 2, 1), ConvBN(c // 2, c // 2, 3), ConvBN(c // 2, c, 1, relu=False))

    def forward(self, x):
        return torch.relu(x + self.body(x))


class Detector(nn.Module):
    """Boards of height×width grey pixels in, [B, cells, 5+classes] and the logits
    of [B, cells, scenes] out."""

    def __init__(self, classes, mean, std, widths=(16, 32, 64, 128), blocks=(0, 1, 3, 5)):
        super().__init__()
        self.classes = classes
        self.config = {"classes": classes, "mean": mean, "std": std, "widths": list(widths), "blocks": list(blocks)}
        stages, cin = [], 1
        for i, (w, n) in enumerate(zip(widths, blocks)):
            stages.append(nn.Sequential(ConvBN(cin, w, 6 if i == 0 else 3, 2), *[Residual(w) for _ in range(n)]))
            cin = w
        self.fine, self.coarse = nn.Sequential(*stages[:-1]), stages[-1]
        self.neck = ConvBN(cin, cin, 1)
        self.box = nn.Conv2d(cin, 4, 1)
        self.score = nn.Conv2d(cin, 1 + classes, 1)
        self.scene = nn.Conv2d(cin, len(SCENES), 1)
        # A cell alone cannot tell a light conductor from a dark gap: all of the
        # picture says which is which.
        self.context = nn.Sequential(nn.Conv2d(widths[-2] + cin, 64, 1), nn.ReLU(inplace=True), nn.Conv2d(64, len(SCENES), 1))
        nn.init.zeros_(self.box.weight)
        with torch.no_grad():
            self.box.bias.copy_(torch.tensor([0.5, 0.5, math.log(2.2), math.log(2.2)]))
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.constant_(self.score.bias, -math.log((1 - 0.01) / 0.01))
        nn.init.constant_(self.score.bias[1:], -1.0)

    def maps(self, x):
        """The raw maps of a picture in 0..255: boxes [B,4,h,w], logits [B,1+C,h,w]
        and [B,scenes,h,w]."""
        return self.heads((x - self.config["mean"]) / self.config["std"])

    def heads(self, x):
        fine = self.fine(x)
        f = self.neck(self.coarse(fine))
        whole = torch.cat([F.adaptive_avg_pool2d(fine, 1), F.adaptive_avg_pool2d(f, 1)], 1)
        return self.box(f), self.score(f), self.scene(f) + self.context(whole)

    def forward(self, x):
        return rows(*self.maps(x))


def only_scene(net):
    """Freezes all of a detector but what says what a picture shows. Batch
    normalisation then uses what it has learned, as after the export."""
    for name, p in net.named_parameters():
        p.requires_grad_(name.startswith(("scene.", "context.")))
    net.eval()


def rows(box, score, scene):
    """Maps as outputs: a row per cell."""
    y = torch.cat([box, torch.sigmoid(score)], 1)
    return y.flatten(2).transpose(1, 2), scene.flatten(2).transpose(1, 2)


class Exported(nn.Module):
    """The graph as shipped: normalised input, fixed shape."""

    def __init__(self, d, height, width):
        super().__init__()
        self.d, self.cells = d, (height // STRIDE) * (width // STRIDE)

    def forward(self, x):
        box, score, scene = self.d.heads(x)
        y = torch.cat([box, torch.sigmoid(score)], 1)
        return (y.reshape(1, y.shape[1], self.cells).transpose(1, 2),
                scene.reshape(1, scene.shape[1], self.cells).transpose(1, 2))


def load(path):
    """A detector from a checkpoint written by train.py, in evaluation mode."""
    ck = torch.load(path, map_location="cpu", weights_only=True)
    d = Detector(**ck["model"])
    d.load_state_dict(ck["state"])
    return d.eval(), ck
