#!/usr/bin/env python3
"""Runs side by side:  python training/compare.py [RUN …]  (all without names).

Prints a table and writes runs/compare.png, AP50 of the validation boards
against the step. Runs validated on other boards cannot be compared by it.
"""
import csv
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  the backend comes first

RUNS = Path(__file__).resolve().parent / "runs"


def main():
    names = sys.argv[1:] or sorted(p.parent.name for p in RUNS.glob("*/log.csv"))
    for name in names:
        if not (RUNS / name / "log.csv").exists():
            raise SystemExit(f"{name}: no such run in {RUNS}; there are {', '.join(sorted(p.parent.name for p in RUNS.glob('*/log.csv')))}")
    fig, axis = plt.subplots(figsize=(7, 4))
    print(f"{'run':16} {'steps':>6} {'batch':>5} {'lr':>7} {'minutes':>7} {'AP50':>6} {'escapes':>7} {'rejects':>7}  {'validated on':12} data")
    for name in names:
        settings = RUNS / name / "settings.json"
        s = json.loads(settings.read_text()) if settings.exists() else None  # of some only the log is left
        rows = list(csv.DictReader((RUNS / name / "log.csv").open()))
        best = max(rows, key=lambda r: float(r["ap50"]))
        short = lambda v: v.split("@")[0].split("=")[0]
        sets = " + ".join(f"{d['boards']} {short(d['set'])}" for d in s["data"]) if s else "-"
        val, batch, lr = (" + ".join(map(short, s["val"])), s["batch"], s["lr"]) if s else ("-", "-", "-")
        print(f"{name:16} {float(rows[-1]['step']):>6.0f} {batch:>5} {lr:>7} {float(rows[-1]['seconds']) / 60:>7.0f} {float(best['ap50']):>6.4f} "
              f"{float(best['escapes']):>7.0f} {float(best['false_rejects']):>7.0f}  {val:12} {sets}")
        axis.plot([float(r["step"]) for r in rows], [float(r["ap50"]) for r in rows], label=name)
    axis.set(xlabel="step", ylabel="AP50 of the validation boards")
    axis.legend(), axis.grid(alpha=0.3)
    fig.tight_layout()
    fig.savefig(RUNS / "compare.png", dpi=70)


if __name__ == "__main__":
    main()
