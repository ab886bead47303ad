"""The detector: a small residual network with one stride-16 head.

Only operators that both engines have: convolutions without groups, ReLU, Add,
Sigmoid, Concat, Reshape and Transpose. Batch normalisation is folded into the
convolutions at export. The output is YOLOX's raw layout (Ge et al. 2021,
arXiv:2107.08430): a row per cell of cx, cy relative to the cell and log w,
log h, all in strides, then the objectness and the class probabilities.
"""
import math

import torch
from torch import nn

STRIDE = 16


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
    """Boards of height×width grey pixels in, [B, cells, 5+classes] out."""

    def __init__(self, classes, mean, std, widths=(16, 32, 64, 128), blocks=(0, 0, 2, 4)):
        super().__init__()
        self.classes = classes
        self.config = {"classes": classes, "mean": mean, "std": std, "widths": list(widths), "blocks": list(blocks)}
        layers, cin = [], 1
        for i, (w, n) in enumerate(zip(widths, blocks)):
            layers += [ConvBN(cin, w, 6 if i == 0 else 3, 2), *[Residual(w) for _ in range(n)]]
            cin = w
        self.backbone = nn.Sequential(*layers)
        self.neck = ConvBN(cin, cin, 1)
        self.box = nn.Conv2d(cin, 4, 1)
        self.score = nn.Conv2d(cin, 1 + classes, 1)
        nn.init.zeros_(self.box.weight)
        with torch.no_grad():
            self.box.bias.copy_(torch.tensor([0.5, 0.5, math.log(2.2), math.log(2.2)]))
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.constant_(self.score.bias, -math.log((1 - 0.01) / 0.01))
        nn.init.constant_(self.score.bias[1:], -1.0)

    def maps(self, x):
        """The raw maps of a picture in 0..255: boxes [B,4,h,w], logits [B,1+C,h,w]."""
        f = self.neck(self.backbone((x - self.config["mean"]) / self.config["std"]))
        return self.box(f), self.score(f)

    def forward(self, x):
        box, score = self.maps(x)
        b, _, h, w = box.shape
        y = torch.cat([box, torch.sigmoid(score)], 1)
        return y.reshape(b, 5 + self.classes, h * w).transpose(1, 2)


class Exported(nn.Module):
    """The graph as shipped: normalised input, fixed shape."""

    def __init__(self, d, height, width):
        super().__init__()
        self.d, self.cells = d, (height // STRIDE) * (width // STRIDE)

    def forward(self, x):
        f = self.d.neck(self.d.backbone(x))
        y = torch.cat([self.d.box(f), torch.sigmoid(self.d.score(f))], 1)
        return y.reshape(1, 5 + self.d.classes, self.cells).transpose(1, 2)


def load(path):
    """A detector from a checkpoint written by train.py, in evaluation mode."""
    ck = torch.load(path, map_location="cpu", weights_only=True)
    d = Detector(**ck["model"])
    d.load_state_dict(ck["state"])
    return d.eval(), ck
