"""What the reference scripts share: where the data is, how results are stored."""

import argparse
import hashlib
import json
import os
import platform

import cv2
import numpy as np
import onnxruntime
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments(about):
    p = argparse.ArgumentParser(description=about)
    p.add_argument(
        "--data",
        default=os.environ.get("VEDETTE_TEST_DATA", ""),
        help="the folder with models/ and images/ (default: $VEDETTE_TEST_DATA)",
    )
    a = p.parse_args()
    if not os.path.isdir(os.path.join(a.data, "models")):
        p.error("--data must name the folder with models/ and images/")
    cv2.setNumThreads(1)
    onnxruntime.set_default_logger_severity(3)
    return a


def session(path):
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = 1
    o.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"])


def coco64(data):
    folder = os.path.join(data, "images", "coco64", "images")
    return [os.path.join(folder, f) for f in sorted(os.listdir(folder))]


def coco_names(data):
    with open(os.path.join(data, "images", "coco64", "names.yaml")) as f:
        names = yaml.safe_load(f)["names"]
    return [names[i] for i in range(len(names))]


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def versions():
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
    }


def write_json(name, value):
    """One line per picture keeps the diffs of a regenerated file readable."""
    path = os.path.join(HERE, "golden", name)
    pictures = value.pop("pictures", None)
    text = json.dumps(value, indent=1, ensure_ascii=False)
    if pictures is not None:
        lines = ",\n  ".join(json.dumps(p, ensure_ascii=False) for p in pictures)
        text = text[:-2] + ',\n "pictures": [\n  ' + lines + "\n ]\n}"
    with open(path, "w") as f:
        f.write(text + "\n")
    print(name, os.path.getsize(path), "bytes")
