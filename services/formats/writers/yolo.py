"""YOLO: one text file per frame, `class centre-x centre-y width height` as fractions."""

from collections.abc import Sequence

import orjson

from services.contracts.events import Annotation
from services.formats.writers.frames import Export, ExportFrame, annotated, labels, lost


def to_yolo(frames: Sequence[ExportFrame]) -> Export:
    """`labels/*.txt`, `data.yaml`, and `train.txt`, which repeats a frame according to its weight.

    Crowds, ignored annotations and masks are lost. An empty file means a frame without objects, so
    frames that nobody has annotated are left out.
    """
    used = annotated(frames)
    names = labels(used)
    numbers = {name: number for number, name in enumerate(names)}
    files = {
        f"labels/{frame.stem}.txt": "".join(
            _line(frame, numbers[annotation.category], annotation)
            for annotation in frame.annotations or ()
        ).encode()
        for frame in used
    }
    listed = [f"./images/{frame.file_name}\n" for frame in used for _ in range(frame.weight)]
    files["train.txt"] = "".join(listed).encode()
    files["data.yaml"] = _settings(names)
    return Export(files, used, lost(used, frames, "crowd", "ignore", "mask"))


def _line(frame: ExportFrame, number: int, annotation: Annotation) -> str:
    x, y, width, height = annotation.bbox
    centre_x, centre_y = (x + width / 2) / frame.width, (y + height / 2) / frame.height
    shares = (centre_x, centre_y, width / frame.width, height / frame.height)
    return f"{number} {' '.join(repr(share) for share in shares)}\n"


def _settings(names: Sequence[str]) -> bytes:
    # JSON is valid YAML, so JSON's quoting is correct for every name.
    rows = [f"  {number}: {orjson.dumps(name).decode()}\n" for number, name in enumerate(names)]
    # Without `path`, trainers resolve paths relative to this file, even after it is moved.
    head = "train: train.txt\nval: train.txt\nnames:"
    return f"{head}\n{''.join(rows)}".encode() if rows else f"{head} {{}}\n".encode()
