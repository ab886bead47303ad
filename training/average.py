#!/usr/bin/env python3
"""Averages the weights of checkpoints of one network.

    python training/average.py out.pt first.pt second.pt …

Checkpoints along one training path lie in one basin; their mean generalises
better to boards of other families than the last one alone (Wortsman et al.
2022, "Model soups", arXiv:2203.05482).
"""
import sys

import torch


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    out, *paths = sys.argv[1:]
    all_of = [torch.load(p, map_location="cpu", weights_only=True) for p in paths]
    if any(c["model"] != all_of[0]["model"] or c["labels"] != all_of[0]["labels"] for c in all_of):
        raise SystemExit("the checkpoints are not of one network with one set of labels")
    state = {k: sum(c["state"][k] for c in all_of) / len(all_of) if v.dtype.is_floating_point else v for k, v in all_of[0]["state"].items()}
    torch.save({**all_of[0], "state": state}, out)


if __name__ == "__main__":
    main()
