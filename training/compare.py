#!/usr/bin/env python3
"""Runs side by side:  python training/compare.py [RUN …]  (all without names).

Prints a table and writes runs/compare.png, AP50 of the validation boards
against the step.
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
    names = sys.argv[1:] or sorted(p.parent.name for p in RUNS.glob("*/settings.json"))
    fig, axis = plt.subplots(figsize=(7, 4))
    print(f"{'run':24} {'data':44} {'steps':>6} {'batch':>5} {'lr':>7} {'minutes':>7} {'AP50':>6} {'escapes':>7} {'rejects':>7}")
    for name in names:
        s = json.loads((RUNS / name / "settings.json").read_text())
        rows = list(csv.DictReader((RUNS / name / "log.csv").open()))
        best = max(rows, key=lambda r: float(r["ap50"]))
        sets = " + ".join(f"{d['boards']} {d['set'].split('@')[0].split('=')[0]}" for d in s["data"])
        print(f"{name:24} {sets:44} {rows[-1]['step']:>6} {s['batch']:>5} {s['lr']:>7} {s['seconds'] / 60:>7.0f} {float(best['ap50']):>6.4f} "
              f"{best['escapes']:>7} {best['false_rejects']:>7}")
        axis.plot([int(r["step"]) for r in rows], [float(r["ap50"]) for r in rows], label=name)
    axis.set(xlabel="step", ylabel="AP50 of the validation boards")
    axis.legend(), axis.grid(alpha=0.3)
    fig.tight_layout()
    fig.savefig(RUNS / "compare.png", dpi=70)


if __name__ == "__main__":
    main()
