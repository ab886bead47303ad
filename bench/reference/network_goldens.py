#!/usr/bin/env python3
"""Exports networks with random weights from their PyPI packages, runs them, and
writes their raw outputs, their metadata and what the packages' own
postprocessing makes of them: infer/decode/testdata/net_*.json.gz."""

import os
import tempfile

import cv2
import numpy as np
import onnxruntime
import torch

import goldens

SIZE, CLASSES = 160, 6
NAMES = ["person", "traffic light", "driver's seat", 'a "quoted" one', "naïve", "back\\slash"]


def noise(seed):
    return np.random.default_rng(seed).random((1, 3, SIZE, SIZE), np.float32)


def run(path):
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = 1
    s = onnxruntime.InferenceSession(path, o)
    outs = s.run(None, {s.get_inputs()[0].name: noise(1)})
    return [(o.name, goldens.half(v)) for o, v in zip(s.get_outputs(), outs)], s.get_modelmeta().custom_metadata_map


def calibrate(model):
    """Random weights let the signal die out: fit the normalisation layers."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.momentum = 0.5
        m.train()
    with torch.no_grad():
        for seed in range(12):
            model(torch.from_numpy(noise(100 + seed)))
    model.eval()


def spread(head):
    """Untrained heads score every box alike: amplify what they see."""
    for branch in ("cv3", "one2one_cv3", "cv2", "one2one_cv2"):
        for level in getattr(head, branch, None) or []:
            last = level[-1]
            with torch.no_grad():
                last.weight.mul_(4)
                if branch.endswith("cv3"):
                    last.bias.fill_(-2.0)


def ultralytics(name, config, decoder, min_score, iou):
    from ultralytics import YOLO
    from ultralytics.utils import nms

    torch.manual_seed(3)
    model = YOLO(config)
    model.model.names = dict(enumerate(NAMES))
    calibrate(model.model.eval())
    if model.task == "detect":
        spread(model.model.model[-1])
    path = model.export(format="onnx", imgsz=SIZE, opset=17, simplify=False, **({"nms": False} if decoder == "end2end" else {}))
    outs, meta = run(path)
    manifest = {"decoder": decoder, "width": SIZE, "height": SIZE}
    img = np.zeros((SIZE, SIZE, 3), np.uint8)
    more = {}
    if decoder == "classify":
        p = outs[0][1][0]
        more["classes"] = [[int(i), float(p[i])] for i in np.argsort(-p, kind="stable")[:5]]
    else:
        manifest |= {"min_score": min_score, "iou": iou}
        found = nms.non_max_suppression(torch.from_numpy(outs[0][1].copy()), min_score, iou)[0].numpy()
        more["objects"] = clip(found)
        more["geometry"] = goldens.geometry(img, lambda b: b)
    keep = {k: v for k, v in meta.items() if k in ("author", "description", "task", "stride", "imgsz", "names", "end2end", "head", "channels")}
    goldens.write(
        "net_" + name,
        about=f"{config} of the package ultralytics, {CLASSES} classes, random weights; written by network_goldens.py",
        manifest=manifest,
        outputs=outs,
        metadata=keep,
        **more,
    )


def clip(rows):
    rows = rows.astype(np.float64)
    rows[:, :4] = rows[:, :4].clip(0, SIZE)
    return rows


def yolov5():
    from yolov5.models.yolo import Model
    from yolov5.utils.general import non_max_suppression
    import yolov5 as package

    torch.manual_seed(4)
    config = os.path.join(os.path.dirname(package.__file__), "models", "yolov5n.yaml")
    model = Model(config, ch=3, nc=CLASSES).eval()
    calibrate(model)
    for conv in model.model[-1].m:
        with torch.no_grad():
            conv.weight.mul_(4)
            conv.bias.zero_()
    model.model[-1].export = True
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "yolov5.onnx")
        torch.onnx.export(model, torch.zeros(1, 3, SIZE, SIZE), path, opset_version=17, dynamo=False)
        outs, _ = run(path)
    found = non_max_suppression(torch.from_numpy(outs[0][1].copy()), 0.4, 0.45, max_det=1000)[0].numpy()
    goldens.write(
        "net_yolov5",
        about=f"yolov5n.yaml of the package yolov5, {CLASSES} classes, random weights; written by network_goldens.py",
        manifest={"decoder": "yolov5", "width": SIZE, "height": SIZE, "min_score": 0.4, "iou": 0.45, "max_objects": 1000},
        outputs=outs,
        objects=clip(found),
        geometry=goldens.geometry(np.zeros((SIZE, SIZE, 3), np.uint8), lambda b: b),
    )


def config(folder, base):
    """The package's own configuration of a network, with our number of classes."""
    import ultralytics
    import yaml

    root = os.path.join(os.path.dirname(ultralytics.__file__), "cfg", "models")
    scale = base[-1] if base[-1] in "nst" else ""
    for where, _, files in os.walk(root):
        for f in files:
            if f in (base + ".yaml", base.replace(scale, "", 1) + ".yaml", base[: base.rfind("n")] + base[base.rfind("n") + 1 :] + ".yaml"):
                with open(os.path.join(where, f)) as s:
                    value = yaml.safe_load(s)
                value["nc"] = CLASSES
                path = os.path.join(folder, base + ".yaml")
                with open(path, "w") as s:
                    yaml.safe_dump(value, s)
                return path
    raise FileNotFoundError(base)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        yolov5()
        for name, base, decoder in (
            ("yolov5u", "yolov5n", "yolov8"),
            ("yolov8", "yolov8n", "yolov8"),
            ("yolo11", "yolo11n", "yolov8"),
            ("yolov10", "yolov10n", "end2end"),
            ("yolo11_cls", "yolo11n-cls", "classify"),
        ):
            ultralytics(name, config(folder, base), decoder, 0.4, 0.45)


if __name__ == "__main__":
    main()
