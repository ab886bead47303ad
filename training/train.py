#!/usr/bin/env python3
"""Trains the defect detector.

    python training/train.py --name first --data boards=1 --val ../data@group50600

--data FOLDER[@group,group][=weight] may be given several times; a folder is a
DeepPCB folder (trainval.txt) or a YOLO folder (images/, labels/, names.yaml).
--init WEIGHTS continues from a checkpoint: that is how one fine-tunes on one's
own frames. The best weights by AP50 of --val are kept in work/<name>/best.pt,
settings, log and curves in runs/<name>/.
"""
import argparse
import copy
import csv
import json
import math
import platform
import time
from pathlib import Path

import numpy as np
import torch

from pcb import data, loss, metrics, model, plots

HERE = Path(__file__).resolve().parent


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--name", required=True)
    p.add_argument("--data", action="append", required=True)
    p.add_argument("--val", action="append", required=True)
    p.add_argument("--init", help="checkpoint to start from")
    p.add_argument("--steps", type=int, default=20000)
    p.add_argument("--minutes", type=float, help="end after so long instead of after --steps; such a run cannot be repeated exactly")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--size", type=int, default=320, help="side of the training crops, a multiple of 16")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--decay", type=float, default=0.05)
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--every", type=int, default=500, help="steps between two validations")
    return p.parse_args()


def split_weight(spec):
    folder, eq, weight = spec.rpartition("=")
    return (folder, float(weight)) if eq else (spec, 1.0)


@torch.no_grad()
def detect(net, boards, min_score=0.01, batch=8):
    """The network's answers to whole boards."""
    out = []
    for i in range(0, len(boards), batch):
        part = boards[i:i + batch]
        x = torch.from_numpy(np.stack([b.pixels for b in part]))[:, None].float()
        for y in net(x.contiguous(memory_format=torch.channels_last)).numpy():
            out.append(metrics.decode(y, *x.shape[2:], min_score=min_score))
    return out


def start(args, sets):
    boards = [b for bs, _ in sets for b in bs]
    labels = data.names(Path(split_weight(args.data[0])[0].partition("@")[0]))
    if args.init:
        net, ck = model.load(args.init)
        if ck["labels"] != labels:  # other classes: keep the features, start the scores anew
            old = net.state_dict()
            net = model.Detector(**{**net.config, "classes": len(labels)})
            net.load_state_dict({k: v for k, v in old.items() if not k.startswith("score.")}, strict=False)
        return net.train(), labels
    mean, std = data.mean_std(boards)
    return model.Detector(len(labels), mean, std), labels


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    sets = [(data.read(data.open_set(f)), w) for f, w in map(split_weight, args.data)]
    val = data.read([b for spec in args.val for b in data.open_set(spec)])
    net, labels = start(args, sets)
    net = net.to(memory_format=torch.channels_last).train()
    ema = copy.deepcopy(net).eval()
    run, work = HERE / "runs" / args.name, HERE / "work" / args.name
    run.mkdir(parents=True, exist_ok=True), work.mkdir(parents=True, exist_ok=True)
    settings = {**vars(args), "init": Path(args.init).parent.name if args.init else None, "labels": labels, "model": net.config,
                "parameters": sum(p.numel() for p in net.parameters()),
                "data": [{"set": Path(s).name, "boards": len(b), "boxes": sum(len(x.boxes) for x in b), "sha256": data.digest(b)}
                         for s, (b, _) in zip(args.data, sets)],
                "val": [Path(s).name for s in args.val], "val_sha256": data.digest(val),
                "torch": torch.__version__, "python": platform.python_version()}
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}], lr=args.lr)
    warm = min(300, args.steps // 10 + 1)
    cosine = lambda done: 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, done)))
    rows, sums, best, since, done, t0 = [], np.zeros(4), -1.0, 0, 0.0, time.time()
    for step, (x, truth, ignore) in enumerate(data.Loader(sets, args.size, args.batch, args.steps, args.seed)):
        done = (time.time() - t0) / 60 / args.minutes if args.minutes else (step + 1) / args.steps
        for g in opt.param_groups:
            g["lr"] = args.lr * min((step + 1) / warm, cosine(done))
        with torch.autocast("cpu", torch.bfloat16):
            maps = net.maps(x.float().contiguous(memory_format=torch.channels_last))
        total, parts = loss.loss(*maps, truth, ignore)
        opt.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 20.0)
        opt.step()
        d = min(args.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for a, b in zip(ema.state_dict().values(), net.state_dict().values()):
                a.lerp_(b, 1 - d) if a.dtype.is_floating_point else a.copy_(b)
        sums += [float(total.detach()), *parts]
        since += 1
        if (step + 1) % args.every and done < 1:
            continue
        s = metrics.Scores(val, detect(ema, val), len(labels))
        ap50 = float(np.nanmean(s.ap(0.5)))
        t = s.best_threshold()
        esc, bad, rej, good = s.boards_at(t)
        rows.append({"step": step + 1, "seconds": round(time.time() - t0), **dict(zip(("loss", "box", "object", "class"), (sums / since).round(4))),
                     "ap50": round(ap50, 4), "threshold": t, "escapes": esc, "false_rejects": rej})
        print(json.dumps({k: float(v) for k, v in rows[-1].items()}), flush=True)
        sums[:], since = 0, 0
        ck = {"model": net.config, "labels": labels, "state": ema.state_dict(), "threshold": t, "run": args.name}
        torch.save(ck, work / "last.pt")
        if ap50 > best:
            best = ap50
            torch.save(ck, work / "best.pt")
        with open(run / "log.csv", "w", newline="") as f:
            w = csv.DictWriter(f, rows[0].keys())
            w.writeheader(), w.writerows(rows)
        (run / "settings.json").write_text(json.dumps({**settings, "best_ap50": best, "seconds": rows[-1]["seconds"]}, indent=1) + "\n")
        plots.curves(rows, run / "curve.png", args.name)
        if done >= 1:
            break


if __name__ == "__main__":
    main()
