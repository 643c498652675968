"""Export formats by name, and the manifest that makes an export reproducible."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from services.formats.writers.coco import to_coco
from services.formats.writers.cvat import to_cvat
from services.formats.writers.datumaro import SUBSET, to_datumaro
from services.formats.writers.format_names import Format
from services.formats.writers.frames import Export, ExportFrame
from services.formats.writers.label_studio import to_label_studio
from services.formats.writers.voc import to_voc
from services.formats.writers.yolo import to_yolo

EXPORTERS: Mapping[Format, Callable[[Sequence[ExportFrame]], Export]] = {
    Format.COCO: to_coco,
    Format.VOC: to_voc,
    Format.YOLO: to_yolo,
    Format.CVAT: to_cvat,
    Format.LABEL_STUDIO: to_label_studio,
    Format.DATUMARO: to_datumaro,
}
IMAGES: Mapping[Format, str] = {
    **dict.fromkeys(Format, "images"),
    Format.VOC: "JPEGImages",
    Format.DATUMARO: f"images/{SUBSET}",
}
"""The image folder of each format."""


def manifest(export: Export, **facts: Any) -> bytes:
    """The export's manifest: counts, every frame's revision, and the sha256 of every file."""
    content = {
        **facts,
        "counts": {
            "frames": len(export.frames),
            "annotations": sum(len(frame.annotations or ()) for frame in export.frames),
            "proposals": sum(len(frame.proposals) for frame in export.frames),
        },
        "losses": dict(export.losses),
        "files": {
            path: hashlib.sha256(content).hexdigest()
            for path, content in sorted(export.files.items())
        },
        "frames": {frame.file_name: _frame_facts(frame) for frame in export.frames},
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2)


def _frame_facts(frame: ExportFrame) -> dict[str, Any]:
    return {
        "frame_id": frame.frame_id,
        "width": frame.width,
        "height": frame.height,
        "revision": frame.revision,
        "sha256": frame.sha256,
        "complete": frame.complete,
        "corrected": frame.corrected,
        "weight": frame.weight,
        # Restores what a tool's format cannot express of a box that comes back unchanged.
        "annotations": [
            annotation.model_dump(exclude_defaults=True) for annotation in frame.annotations or ()
        ],
    }
