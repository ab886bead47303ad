#!/usr/bin/env python3
"""Trains the defect detector.

    python training/train.py --name first --data boards=1 --val ../data@group50600

--data FOLDER[@group,group][=weight] may be given several times; a folder is a
DeepPCB folder (trainval.txt) or a YOLO folder (images/, labels/, names.yaml).
--init WEIGHTS continues from a checkpoint: that is how one fine-tunes on one's
own frames. --nothing FOLDER has pictures of anything but boards (an empty belt, a
hall), so that the network learns to say so. The best weights by AP50 of --val
are kept in work/<name>/best.pt, the last ones in last.pt, settings, log and
curves in runs/<name>/.

It trains on a GPU where there is one, else on the processor.
"""
import argparse
import copy
import csv
import itertools
import json
import math
import platform
import time
from pathlib import Path

import numpy as np
import torch

from pcb import augment, data, loss, metrics, model, plots

HERE = Path(__file__).resolve().parent


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--name", required=True)
    p.add_argument("--data", action="append", required=True)
    p.add_argument("--val", action="append", required=True)
    p.add_argument("--nothing", help="folder of pictures that show no board")
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
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--widths", type=lambda s: [int(v) for v in s.split(",")], help="channels at stride 2, 4, 8 and 16")
    p.add_argument("--blocks", type=lambda s: [int(v) for v in s.split(",")], help="residual blocks at stride 2, 4, 8 and 16")
    p.add_argument("--scene-only", action="store_true", help="train only what says whether a picture can be judged; all else stays as --init has it")
    p.add_argument("--every", type=int, default=500, help="steps between two validations")
    return p.parse_args()


def split_weight(spec):
    folder, eq, weight = spec.rpartition("=")
    return (folder, float(weight)) if eq else (spec, 1.0)


@torch.no_grad()
def detect(net, boards, device, min_score=0.01, batch=10):
    """The network's answers to whole boards, and what it says each shows."""
    dets, scenes = [], []
    for same in runs_of_one_size(boards):
        for i in range(0, len(same), batch):
            x = torch.from_numpy(np.stack([b.pixels for b in same[i:i + batch]]))[:, None].to(device).float()
            rows, scene = (v.float().cpu().numpy() for v in net(x.contiguous(memory_format=torch.channels_last)))
            for y, what in zip(rows, scene):
                dets.append(metrics.decode(y, *x.shape[2:], min_score=min_score))
                scenes.append(metrics.judge(what))
    return dets, scenes


def runs_of_one_size(boards):
    """boards, cut where the size changes: a batch needs one size."""
    return [list(same) for _, same in itertools.groupby(boards, key=lambda b: b.pixels.shape)]


def start(args, sets, labels):
    """A network to begin with: --init's, or a new one."""
    boards = [b for bs, _ in sets for b in bs]
    if args.init:
        net, ck = model.load(args.init)
        if ck["labels"] != labels:  # other classes: keep the features, start the scores anew
            old = net.state_dict()
            net = model.Detector(**{**net.config, "classes": len(labels)})
            net.load_state_dict({k: v for k, v in old.items() if not k.startswith("score.")}, strict=False)
        return net.train()
    shape = {k: v for k, v in (("widths", args.widths), ("blocks", args.blocks)) if v}
    return model.Detector(len(labels), *data.mean_std(boards), **shape)


def settings_of(args, sets, val, net, labels):
    return {**vars(args), "init": Path(args.init).parent.name if args.init else None, "labels": labels, "model": net.config,
            "nothing": Path(args.nothing).name if args.nothing else None,
            "parameters": sum(p.numel() for p in net.parameters()),
            "data": [{"set": Path(s).name, "boards": len(b), "boxes": sum(len(x.boxes) for x in b), "sha256": data.digest(b)}
                     for s, (b, _) in zip(args.data, sets)],
            "val": [Path(s).name for s in args.val], "val_sha256": data.digest(val),
            "torch": torch.__version__, "python": platform.python_version(),
            "device": torch.cuda.get_device_name() if args.device.startswith("cuda") else platform.processor() or "cpu"}


def optimiser(net, args):
    decay = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}],
                             lr=args.lr, fused=args.device.startswith("cuda"))


def pool(boards, device):
    """The boards as tensors, which are all that is needed of their pixels."""
    p = augment.Pool(boards, device)
    for b in boards:
        b.pixels = None
    return p


class Average:
    """The exponential moving average of the weights: what is validated and kept."""

    def __init__(self, net, decay):
        self.net, self.decay, self.steps = copy.deepcopy(net).eval(), decay, 0
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values()))
        self.mine = [a for a, _ in pairs if a.dtype.is_floating_point]
        self.theirs = [b for a, b in pairs if a.dtype.is_floating_point]

    @torch.no_grad()
    def update(self):
        d = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.mine, self.theirs, 1 - d)
        self.steps += 1


def validate(net, val, labels, device):
    """Scores of the validation boards, as columns of the log."""
    dets, scenes = detect(net, val, device)
    s = metrics.Scores(val, dets, len(labels), [v == model.SCENES[model.BOARD] for v in scenes])
    t = s.best_threshold()
    esc, bad, rej, good = s.boards_at(t)
    precision, recall = s.precision_recall(t, 0.33)
    return {"ap50": round(float(np.nanmean(s.ap(0.5))), 4), "threshold": t, "escapes": esc, "false_rejects": rej,
            "precision": round(precision, 4), "recall": round(recall, 4),
            "unfit": int((~s.fit).sum())}


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    labels = data.same_names([split_weight(s)[0] for s in args.data] + args.val)
    sets = [(data.read(data.open_set(f)), w) for f, w in map(split_weight, args.data)]
    val = data.read([b for spec in args.val for b in data.open_set(spec)])
    net = start(args, sets, labels)
    net = net.to(args.device, memory_format=torch.channels_last).train()
    if args.scene_only:
        model.only_scene(net)
    ema = Average(net, args.ema)
    run, work = HERE / "runs" / args.name, HERE / "work" / args.name
    run.mkdir(parents=True, exist_ok=True), work.mkdir(parents=True, exist_ok=True)
    settings = settings_of(args, sets, val, net, labels)
    crops = augment.Crops([pool(b, args.device) for b, _ in sets], [w for _, w in sets], args.size, args.batch, args.seed,
                          args.device, augment.leaves(200) + (data.pictures(args.nothing) if args.nothing else []))
    opt = optimiser(net, args)
    warm = min(500, args.steps // 10 + 1)
    rows, best, since, t0 = [], -1.0, 0, time.time()
    sums = torch.zeros(5, device=args.device)
    for step in itertools.count():
        done = (time.time() - t0) / 60 / args.minutes if args.minutes else (step + 1) / args.steps
        rate = min((step + 1) / warm, 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, done))))
        for g in opt.param_groups:
            g["lr"] = args.lr * rate
        batch = next(crops)
        with torch.autocast(args.device.partition(":")[0], torch.bfloat16):
            maps = net.maps(batch.x.contiguous(memory_format=torch.channels_last))
        total, parts = loss.loss(maps, batch)
        opt.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 20.0)
        opt.step()
        ema.update()
        sums += torch.cat([total.detach()[None], parts])
        since += 1
        if (step + 1) % args.every and done < 1:
            continue
        mean = [round(v, 4) for v in (sums / since).tolist()]
        rows.append({"step": step + 1, "seconds": round(time.time() - t0), **dict(zip(("loss", "box", "object", "class", "scene"), mean)),
                     **validate(ema.net, val, labels, args.device)})
        print(json.dumps({k: float(v) for k, v in rows[-1].items()}), flush=True)
        sums.zero_()
        since = 0
        ck = {"model": net.config, "labels": labels, "state": {k: v.cpu() for k, v in ema.net.state_dict().items()},
              "threshold": rows[-1]["threshold"], "run": args.name}
        torch.save(ck, work / "last.pt")
        if rows[-1]["ap50"] > best:
            best = rows[-1]["ap50"]
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
