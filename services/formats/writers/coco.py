"""COCO: `annotations/instances_default.json`, and `predictions.json` in COCO's results format."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.contracts.events import Annotation
from services.domain.detection.masks import area_of
from services.formats.writers.frames import Export, ExportFrame, Proposal, annotated, labels, lost

INSTANCES = "annotations/instances_default.json"
"""COCO's own file name for a subset's boxes; CVAT, Datumaro and most others expect it."""

_PRETTY = orjson.OPT_INDENT_2


def to_coco(frames: Sequence[ExportFrame]) -> Export:
    """Ground truth for `read_coco` and pycocotools; images have numeric ids and frame ids.

    COCO's evaluation has no `ignore`, so it is written to `attributes`, where CVAT and Datumaro
    read it. Frames without annotation are left out, because COCO would count them as empty.
    """
    used = annotated(frames)
    names = labels(used)
    numbers = {name: number for number, name in enumerate(names, 1)}
    images = [_image(number, frame) for number, frame in enumerate(used, 1)]
    annotations = [
        _annotation(place, numbers[annotation.category], annotation)
        for place, frame in enumerate(used, 1)
        for annotation in frame.annotations or ()
    ]
    content = {
        "info": {"description": "Gazeloop", "version": "1"},
        "images": images,
        "annotations": [{"id": number, **item} for number, item in enumerate(annotations, 1)],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }
    results = [
        _result(place, numbers[proposal.category], proposal)
        for place, frame in enumerate(used, 1)
        for proposal in frame.proposals
    ]
    files = {INSTANCES: orjson.dumps(content, option=_PRETTY)}
    if results:
        files["predictions.json"] = orjson.dumps(results, option=_PRETTY)
    return Export(files, used, lost(used, frames))


def _image(number: int, frame: ExportFrame) -> dict[str, Any]:
    image = {
        "id": number,
        "file_name": frame.file_name,
        "width": frame.width,
        "height": frame.height,
        "date_captured": frame.captured_at.isoformat(),
        "frame_id": frame.frame_id,
        "vehicle_id": frame.vehicle_id,
        "drive_id": frame.drive_id,
        "ground_truth_revision": frame.revision,
    }
    return image if frame.weight == 1 else image | {"weight": frame.weight}


def _result(image: int, category: int, proposal: Proposal) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": category,
        "bbox": list(proposal.bbox),
        "score": proposal.score,
        "region_id": proposal.region_id,
        "needle_id": proposal.needle_id,
    }


def _annotation(image: int, category: int, annotation: Annotation) -> dict[str, Any]:
    record: dict[str, Any] = {
        "image_id": image,
        "category_id": category,
        "bbox": list(annotation.bbox),
        "area": area_of(annotation),
        "iscrowd": int(annotation.crowd),
    }
    if annotation.ignore:
        record["attributes"] = {"ignore": True}
    if annotation.mask is not None:
        record["segmentation"] = {
            "size": list(annotation.mask.size),
            "counts": annotation.mask.counts,
        }
    return record
