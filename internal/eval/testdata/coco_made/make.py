"""Makes the COCO golden of this folder: a small made-up data set with all that
is awkward (crowds, ignore flags, areas that are not width times height, gaps in
the ids, equal scores, overlaps exactly at a threshold, more than 100 detections
in one picture, a class without objects, pictures without any), and what
pycocotools says of it.

    pip install pycocotools==2.0.11 && python3 make.py
"""
import json, random
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

rnd = random.Random(20261124)
cats = [{"id": i, "name": n} for i, n in [(3, "bolt"), (90, "nut"), (7, "washer"), (41, "never shown"), (12, "gear")]]
shown = [3, 90, 7, 12]
images = [{"id": i, "file_name": f"p{i:04d}.png", "width": 640, "height": 480} for i in rnd.sample(range(5, 900), 30)]
anns, dets = [], []
for img in images:
    if rnd.random() < .15:
        continue
    for _ in range(rnd.randrange(1, 9)):
        side = rnd.choice([12, 30, 60, 120, 250])
        w, h = rnd.randrange(side // 2, side + 1), rnd.randrange(side // 2, side + 1)
        x, y = rnd.randrange(0, 640 - w), rnd.randrange(0, 480 - h)
        a = {"id": len(anns) + 1, "image_id": img["id"], "category_id": rnd.choice(shown), "bbox": [x, y, w, h],
             "area": round(w * h * rnd.choice([1, .8, .55]), 1), "iscrowd": int(rnd.random() < .1)}
        if rnd.random() < .1:
            a["ignore"] = 1
        anns.append(a)
        for _ in range(rnd.choice([0, 1, 1, 1, 2, 3])):
            j = rnd.choice([0, .05, .1, .2, .4])
            b = [round(x + rnd.uniform(-j, j) * w, 1), round(y + rnd.uniform(-j, j) * h, 1),
                 round(w * rnd.uniform(1 - j, 1 + j), 1), round(h * rnd.uniform(1 - j, 1 + j), 1)]
            if rnd.random() < .15:
                b = [x, y, w, h / 2]  # an overlap of exactly one half
            c = a["category_id"] if rnd.random() < .85 else rnd.choice([c["id"] for c in cats])
            dets.append({"image_id": img["id"], "category_id": c, "bbox": b, "score": round(rnd.random(), 1 if rnd.random() < .5 else 3)})
img = images[3]["id"]  # more than the 100 that count
anns.append({"id": len(anns) + 1, "image_id": img, "category_id": 12, "bbox": [10, 10, 50, 50], "area": 2500, "iscrowd": 0})
for i in range(130):
    dets.append({"image_id": img, "category_id": 12, "bbox": [10 + i % 60, 10, 50, 50], "score": round((i * 37 % 130) / 130, 3)})
rnd.shuffle(anns)
rnd.shuffle(dets)
json.dump({"images": images, "categories": cats, "annotations": anns}, open("gt.json", "w"), indent=0)
json.dump(dets, open("dets.json", "w"), indent=0)

gt = COCO("gt.json")
ev = COCOeval(gt, gt.loadRes("dets.json"), "bbox")
ev.evaluate(); ev.accumulate(); ev.summarize()
p, r = ev.eval["precision"], ev.eval["recall"]


def mean(a):
    a = a[a > -1]
    return float(a.mean()) if a.size else None


names = {c["id"]: c["name"] for c in cats}
per = {names[c]: {"ap": mean(p[:, :, k, 0, 2]), "ap50": mean(p[0, :, k, 0, 2]), "ap75": mean(p[5, :, k, 0, 2]), "ar_100": mean(r[:, k, 0, 2])}
       for k, c in enumerate(ev.params.catIds)}
keys = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"]
json.dump({"coco": dict(zip(keys, map(float, ev.stats))), "classes": per}, open("want.json", "w"), indent=1)
