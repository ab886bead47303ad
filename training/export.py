#!/usr/bin/env python3
"""Exports a checkpoint as ONNX, with its manifest.

    python training/export.py training/work/first/best.pt models/pcb-defects --name pcb-defects

The graph has only operators that both of the program's engines run; batch
normalisation is folded into the convolutions. --int8 CALIBRATION also writes
NAME-int8.onnx, quantised with the pictures of that folder (static, QDQ, S8S8).
"""
import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch

from pcb import data, metrics, model

ALLOWED = {"Conv", "Relu", "MaxPool", "Concat", "Sigmoid", "Reshape", "Transpose", "Add", "Mul", "GlobalAveragePool"}


def graph(weights, height, width, target):
    """Writes the ONNX file of a checkpoint; returns the checkpoint."""
    net, ck = model.load(weights)
    torch.onnx.export(model.Exported(net, height, width).eval(), torch.zeros(1, 1, height, width), str(target),
                      input_names=["image"], output_names=["boxes", "scene"], opset_version=13, dynamo=False)
    m = onnx.load(target)
    m.graph.doc_string, m.doc_string, m.producer_name = "", "", "vedette training"
    for n in m.graph.node:
        n.doc_string = ""
    # Constants become initializers, and none is left unused.
    used = {i for n in m.graph.node for i in n.input}
    for n in [n for n in m.graph.node if n.op_type == "Constant"]:
        t = n.attribute[0].t
        t.name = n.output[0]
        if t.name in used:
            m.graph.initializer.append(t)
        m.graph.node.remove(n)
    ops = {n.op_type for n in m.graph.node}
    if ops - ALLOWED:
        raise SystemExit(f"the graph has {sorted(ops - ALLOWED)}, which the gorgonia engine lacks")
    if any(a.name == "group" and a.i != 1 for n in m.graph.node for a in n.attribute):
        raise SystemExit("the graph has a convolution with groups, which the gorgonia engine lacks")
    onnx.checker.check_model(m, full_check=True)
    onnx.save(m, target)
    return ck


def quantize(target, folder, mean, std, pictures=64):
    """Writes NAME-int8.onnx beside target."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

    boards = data.open_set(folder)
    boards = data.read(boards[::max(1, len(boards) // pictures)][:pictures])

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.it = iter(boards)

        def get_next(self):
            b = next(self.it, None)
            return None if b is None else {"image": ((b.pixels[None, None].astype(np.float32) - mean) / std)}

    out = target.with_name(target.stem + "-int8.onnx")
    # The last layers stay float: their outputs have different ranges.
    m = onnx.load(target)
    convs = [n.name for n in m.graph.node if n.op_type == "Conv"]
    tail = [n.name for n in m.graph.node if n.op_type in ("Sigmoid", "Concat", "Reshape", "Transpose")] + convs[-3:]
    quantize_static(str(target), str(out), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax, nodes_to_exclude=tail)
    return out


def manifest(args, target, ck):
    c = ck["model"]
    return f"""name: {args.name}
task: detect
file: {target.name}
sha256: {hashlib.sha256(target.read_bytes()).hexdigest()}
licence: {args.licence}
source: {args.source}
input:
  name: image
  width: {args.width}
  height: {args.height}
  layout: nchw
  color: gray
  resize: letterbox
  pad: 255
  interpolation: area
  scale: 1
  mean: [{c["mean"]}]
  std: [{c["std"]}]
  type: float32
output:
  decoder: yolox
  strides: [{model.STRIDE}]
  min_score: {args.min_score or ck["threshold"]}
  iou: 0.45
  scene: {{output: scene, classes: [{", ".join(model.SCENES)}], fit: {model.SCENES[model.BOARD]}, min_share: {metrics.MIN_SHARE}}}
labels: [{", ".join(ck["labels"])}]
"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weights")
    p.add_argument("out", type=Path, help="folder")
    p.add_argument("--name", required=True)
    p.add_argument("--width", type=int, default=640)
    p.add_argument("--height", type=int, default=640)
    p.add_argument("--min-score", type=float, help="threshold of the manifest; without it that of the validation boards")
    p.add_argument("--licence", default="Apache-2.0")
    p.add_argument("--source", default="made with training/ of this project")
    p.add_argument("--int8", metavar="CALIBRATION")
    args = p.parse_args()
    if args.width % model.STRIDE or args.height % model.STRIDE:
        raise SystemExit(f"width and height must be multiples of {model.STRIDE}")
    args.out.mkdir(parents=True, exist_ok=True)
    target = args.out / (args.name + ".onnx")
    ck = graph(args.weights, args.height, args.width, target)
    (args.out / (args.name + ".yaml")).write_text(manifest(args, target, ck))
    print(target, target.stat().st_size, "bytes")
    if args.int8:
        print(quantize(target, args.int8, ck["model"]["mean"], ck["model"]["std"]))


if __name__ == "__main__":
    main()
