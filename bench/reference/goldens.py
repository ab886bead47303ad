"""The file format of infer/decode/testdata: a decoder's inputs and answer."""

import base64
import gzip
import json
import os

import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "infer", "decode", "testdata")


def half(a):
    """The array rounded to half precision, as float32."""
    return np.asarray(a).astype(np.float16).astype(np.float32)


def geometry(img, back):
    """The scale and padding behind a function that maps boxes to the picture."""
    zero, ten = back(np.zeros((1, 4)))[0], back(np.full((1, 4), 1000.0))[0]
    sx, sy = 1000 / (ten[0] - zero[0]), 1000 / (ten[1] - zero[1])
    return {
        "scale_x": sx,
        "scale_y": sy,
        "pad_x": -zero[0] * sx + 0.0,
        "pad_y": -zero[1] * sy + 0.0,
        "width": img.shape[1],
        "height": img.shape[0],
    }


def write(name, *, about, manifest, outputs, geometry=None, objects=None, classes=None, metadata=None):
    value = {"about": about, "manifest": manifest, "geometry": geometry, "metadata": metadata, "outputs": []}
    for output, a in outputs:
        packed = base64.b64encode(a.astype("<f2").tobytes()).decode()
        value["outputs"].append({"name": output, "shape": list(a.shape), "f16": packed})
    if objects is not None:
        objects = objects[(objects[:, 2] > objects[:, 0]) & (objects[:, 3] > objects[:, 1])]
        value["objects"] = [[round(float(v), 4) for v in o] for o in objects]
    if classes is not None:
        value["classes"] = classes
    path = os.path.join(FOLDER, name + ".json.gz")
    os.makedirs(FOLDER, exist_ok=True)
    with open(path, "wb") as f:
        # No name and no time in the header, so that a file only changes with its content.
        with gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
            z.write(json.dumps(value).encode())
    print(name, os.path.getsize(path), "bytes,", len(value.get("objects", value.get("classes", []))), "answers")
