"""pycocotools on whole files, as the oracle of what was read."""

import contextlib
import io
import json

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.unit.ingest.datasets import Json


def evaluated(truth: Json, results: list[Json]) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = json.loads(json.dumps(truth))
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(stat) for stat in evaluation.stats]
