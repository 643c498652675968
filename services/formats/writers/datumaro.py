"""Datumaro's own JSON, which Datumaro converts to about forty other formats."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.contracts.events import Annotation
from services.formats.writers.frames import (
    Export,
    ExportFrame,
    annotated,
    labels,
    lost,
    lost_masks,
    mask_on,
)

SUBSET = "default"


def to_datumaro(frames: Sequence[ExportFrame]) -> Export:
    """`annotations/default.json`, with images in `images/default`."""
    used = annotated(frames)
    names = labels(used)
    numbers = {name: number for number, name in enumerate(names)}
    content = {
        "dm_format_version": "1.0",
        "media_type": 2,  # datumaro.components.media.MediaType.IMAGE
        "infos": {},
        "categories": {
            "label": {
                "labels": [{"name": name, "parent": "", "attributes": []} for name in names],
                "attributes": [],
            }
        },
        "items": [
            {
                "id": frame.stem,
                "annotations": [
                    _annotation(number, numbers[annotation.category], frame, annotation)
                    for number, annotation in enumerate(frame.annotations or ())
                ],
                "attr": {"frame_id": frame.frame_id, "revision": frame.revision},
                "image": {"path": frame.file_name, "size": [frame.height, frame.width]},
            }
            for frame in used
        ],
    }
    files = {f"annotations/{SUBSET}.json": orjson.dumps(content, option=orjson.OPT_INDENT_2)}
    return Export(files, used, lost_masks(used) | lost(used, frames))


def _annotation(
    number: int, label: int, frame: ExportFrame, annotation: Annotation
) -> dict[str, Any]:
    attributes = {"is_crowd": annotation.crowd, "ignore": annotation.ignore}
    return {
        "id": number,
        "attributes": {name: value for name, value in attributes.items() if value},
        "group": 0,
        "label_id": label,
        "z_order": 0,
        **_shape(frame, annotation),
    }


def _shape(frame: ExportFrame, annotation: Annotation) -> dict[str, Any]:
    mask = mask_on(frame, annotation)
    if mask is None:
        return {"type": "bbox", "bbox": list(annotation.bbox)}
    return {"type": "mask", "rle": {"counts": mask.counts, "size": list(mask.size)}}
