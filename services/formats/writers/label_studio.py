"""Label Studio: tasks with rectangles in percent, and the matching labelling interface."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5
from xml.sax.saxutils import quoteattr

import orjson

from services.contracts.events import Annotation
from services.contracts.identity import Box, Category
from services.formats.writers.frames import Export, ExportFrame, labels, lost

_NAMESPACE = UUID("9d4e2a3e-6c3c-5a51-8d0f-3c0a5d6b7f10")
_LOCAL = "/data/local-files/?d="


def to_label_studio(
    frames: Sequence[ExportFrame], *, image_root: str = f"{_LOCAL}images/"
) -> Export:
    """`tasks.json` for Label Studio's import, and `labeling.xml` for the project's settings.

    Ground truth becomes annotations, proposals become predictions. A result's id is derived from
    its content, so importing twice has no effect. Masks are lost.

    Parameters
    ----------
    image_root : prefix of image file names; default: Label Studio's local files
    """
    used = sorted(frames, key=lambda frame: frame.frame_id)
    tasks = [_task(frame, image_root) for frame in used]
    files = {
        "tasks.json": orjson.dumps(tasks, option=orjson.OPT_INDENT_2),
        "labeling.xml": interface(labels(used)).encode(),
    }
    return Export(files, used, lost(used, frames, "mask"))


def _task(frame: ExportFrame, image_root: str) -> dict[str, Any]:
    task: dict[str, Any] = {
        "data": {
            "image": f"{image_root}{frame.file_name}",
            "frame_id": frame.frame_id,
            "drive_id": frame.drive_id,
            "captured_at": frame.captured_at.isoformat(),
            "ground_truth_revision": frame.revision,
        },
        "annotations": [],
        "predictions": [],
    }
    if frame.annotations is not None:
        results = [
            truth_result(frame, place, annotation)
            for place, annotation in enumerate(frame.annotations)
        ]
        task["annotations"] = [{"result": results, "ground_truth": False}]
    if frame.proposals:
        results = [
            result(frame, proposal.region_id, proposal.category, proposal.bbox)
            | {"score": proposal.score, "meta": {"needle_id": proposal.needle_id}}
            for proposal in frame.proposals
        ]
        score = max(proposal.score for proposal in frame.proposals)
        task["predictions"] = [{"model_version": "gazeloop", "score": score, "result": results}]
    return task


def truth_result(frame: ExportFrame, place: int, annotation: Annotation) -> dict[str, Any]:
    """A ground truth rectangle, with the flags that only `meta` can hold."""
    flags = {"crowd": annotation.crowd, "ignore": annotation.ignore}
    drawn = result(frame, f"truth {place}", annotation.category, annotation.bbox)
    return {**drawn, "meta": flags}


def result(frame: ExportFrame, name: str, category: Category, bbox: Box) -> dict[str, Any]:
    """A rectangle in percent of the image size; its id is derived from its content.

    Parameters
    ----------
    name : identifies the result within its frame, so that ids are unique
    """
    x, y, width, height = bbox
    return {
        "id": str(uuid5(_NAMESPACE, f"{frame.frame_id} {frame.revision} {name}"))[:10],
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": frame.width,
        "original_height": frame.height,
        "image_rotation": 0,
        "value": {
            "x": x / frame.width * 100,
            "y": y / frame.height * 100,
            "width": width / frame.width * 100,
            "height": height / frame.height * 100,
            "rotation": 0,
            "rectanglelabels": [category],
        },
    }


def interface(names: Sequence[Category]) -> str:
    """The labelling interface: an image, and rectangles with one of these labels each."""
    rows = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{rows}  </RectangleLabels>\n</View>\n'
    )
