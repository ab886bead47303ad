#!/usr/bin/env python3
"""Runs real models on pictures and writes what the decoders of infer/decode
must make of their raw outputs: infer/decode/testdata/real_*.json.gz. Rows of
no interest are set to zero and numbers to half precision, so that the files
are small; the reference decodes exactly what is stored."""

import os

import cv2
import numpy as np

import common
import families
import goldens
import parity


def stretched(width, height, scale=1, interpolation=cv2.INTER_LINEAR):
    def prepare(img):
        x, back = families.stretch(img, width, height, interpolation)
        return x.astype(np.float32) * np.float32(scale), back

    return prepare


def yolox_person(img):
    x, back = families.letterbox_topleft(img, 192, 192)
    return x.astype(np.float32), back


def keep_rows(score, *outs):
    """Zeroes the rows of the outputs where the score is far from counting."""
    for o in outs:
        o[:, score < 0.2] = 0


def thin_yolox(outs):
    v = outs[0]
    keep_rows((v[0, :, 4:5] * v[0, :, 5:]).max(1), v)


def thin_nanodet(outs):
    for cls, box in zip(outs[:3], outs[3:]):
        keep_rows(cls[0].max(1), cls, box)


def thin_ssd(outs):
    keep_rows(outs[0][0, :, 1], *outs)


def thin_fastestdet(outs):
    v = outs[0]
    v[0, :, (v[0, 0] ** 0.6 * v[0, 5:].max(0) ** 0.4) < 0.2] = 0


def thin_yunet(outs):
    loc, conf, iou = outs
    low = np.sqrt(np.clip(conf[:, 1], 0, 1) * np.clip(iou[:, 0], 0, 1)) < 0.1
    loc[low] = conf[low] = iou[low] = 0


COCO, FACE = "coco64/images/000000001000.jpg", "faces/ultraface_1.jpg"
CASES = [
    ("yolox_nano", "yolox_nano_416.onnx", "yolox", (416, 416), COCO, parity.yolox, families.yolox, thin_yolox, 0.25, 0.45),
    ("yolox_person", "yolox_person_192.onnx", "yolox", (192, 192), COCO, yolox_person, families.yolox, thin_yolox, 0.25, 0.45),
    ("nanodet", "nanodet_m_320.onnx", "nanodet", (320, 320), COCO, parity.nanodet, families.nanodet, thin_nanodet, 0.3, 0.5),
    ("ultraface", "ultraface_version-RFB-320.onnx", "ssd", (320, 240), FACE, parity.ultraface, families.ssd, thin_ssd, 0.5, 0.5),
    (
        "fastestdet",
        "FastestDet_352.onnx",
        "fastestdet",
        (352, 352),
        COCO,
        stretched(352, 352, 1 / 255, cv2.INTER_AREA),
        families.fastestdet,
        thin_fastestdet,
        0.3,
        0.45,
    ),
    ("yunet", "yunet_120x160.onnx", "yunet", (160, 120), FACE, stretched(160, 120), families.yunet_2022, thin_yunet, 0.5, 0.3),
]


def detectors(data):
    for name, model, decoder, size, picture, prepare, decode, thin, min_score, iou in CASES:
        s = common.session(os.path.join(data, "models", model))
        img = cv2.imread(os.path.join(data, "images", picture))
        x, back = prepare(img)
        outs = [o.copy() for o in s.run(None, {s.get_inputs()[0].name: families.chw(x)})]
        thin(outs)
        outs = [goldens.half(o) for o in outs]
        rows = decode(outs, *size, min_score, iou)
        rows[:, :4] = families.clipped(back(rows[:, :4]), img)
        goldens.write(
            "real_" + name,
            about=f"models/{model} on images/{picture}; written by decoder_goldens.py",
            manifest={"decoder": decoder, "width": size[0], "height": size[1], "min_score": min_score, "iou": iou},
            geometry=goldens.geometry(img, back),
            outputs=list(zip([o.name for o in s.get_outputs()], outs)),
            objects=rows,
        )


def plus():
    """NanoDet-Plus is not among the models: the numbers of NanoDet-like outputs
    in the layout of nanodet_plus_head.py, decoded as there."""
    rng = np.random.default_rng(7)
    n, classes = sum((-(-100 // s)) ** 2 for s in (8, 16, 32, 64)), 3
    v = rng.normal(0, 1, (1, n, classes + 32))
    v[..., classes:] *= 2
    v[..., :classes] = families.sigmoid(v[..., :classes] * 2 - 1)
    outs = [goldens.half(v)]
    rows = families.nanodet_plus(outs, 100, 100, 0.5, 0.6)
    img = np.zeros((100, 100, 3), np.uint8)
    rows[:, :4] = families.clipped(rows[:, :4], img)
    goldens.write(
        "real_nanodet_plus",
        about="random numbers in the layout of NanoDet-Plus at 100x100; written by decoder_goldens.py",
        manifest={"decoder": "nanodet", "width": 100, "height": 100, "min_score": 0.5, "iou": 0.6},
        geometry=goldens.geometry(img, lambda b: b),
        outputs=[("output", outs[0])],
        objects=rows,
    )


def classifier(data):
    s = common.session(os.path.join(data, "models", "SqueezeNet_fp16.onnx"))
    img = cv2.imread(os.path.join(data, "images", "coco64/images/000000000724.jpg"))
    x, _ = parity.squeezenet(img)
    out = goldens.half(s.run(None, {"data_0": families.chw(x).astype(np.float16)})[0])
    p = out.ravel()
    goldens.write(
        "real_squeezenet",
        about="models/SqueezeNet_fp16.onnx on 000000000724.jpg; written by decoder_goldens.py",
        manifest={"decoder": "classify", "width": 224, "height": 224},
        outputs=[("softmaxout_1", out)],
        classes=[[int(i), float(p[i])] for i in np.argsort(-p, kind="stable")[:5]],
    )
    s = common.session(os.path.join(data, "models", "mnist.onnx"))
    img = np.zeros((28, 28), np.float32)
    cv2.putText(img, "3", (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    out = goldens.half(s.run(None, {"Input3": img[None, None]})[0])
    p = families.softmax(out[0].astype(np.float64), 0)
    goldens.write(
        "real_mnist",
        about="models/mnist.onnx on a drawn 3; written by decoder_goldens.py",
        manifest={"decoder": "classify", "width": 28, "height": 28, "softmax": True},
        outputs=[("Plus214_Output_0", out)],
        classes=[[int(i), float(p[i])] for i in np.argsort(-p, kind="stable")[:5]],
    )


def main():
    data = common.arguments(__doc__).data
    detectors(data)
    plus()
    classifier(data)


if __name__ == "__main__":
    main()
