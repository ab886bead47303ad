#!/usr/bin/env python3
"""Adds residual blocks to a trained network. The new ones change nothing at
first (the scale of their last normalisation is zero), so that training goes on
from where it was (Net2Net, Chen et al. 2016, arXiv:1511.05641).

    python training/grow.py grown.pt training/weights/pcb-defects.pt 0,1,3,7
"""
import sys

import torch

from pcb import model


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    out, source, blocks = sys.argv[1], sys.argv[2], [int(v) for v in sys.argv[3].split(",")]
    ck = torch.load(source, map_location="cpu", weights_only=True)
    if len(blocks) != len(ck["model"]["blocks"]) or any(a < b for a, b in zip(blocks, ck["model"]["blocks"])):
        raise SystemExit(f"{source} has blocks {ck['model']['blocks']}: a network can only grow from those")
    ck["model"]["blocks"] = blocks
    net = model.Detector(**ck["model"])
    for m in net.modules():
        if isinstance(m, model.Residual):
            torch.nn.init.zeros_(m.body[-1][1].weight)
    new = net.load_state_dict(ck["state"], strict=False)
    if new.unexpected_keys:
        raise SystemExit(f"{source}: unknown weights {new.unexpected_keys}")
    torch.save({**ck, "state": net.state_dict()}, out)
    print(f"{len(new.missing_keys)} new tensors, {sum(p.numel() for p in net.parameters())} parameters")


if __name__ == "__main__":
    main()
