"""Read CVAT for video 1.1: tracks, whose boxes CVAT has interpolated on every frame.

A frame has no name in the file: frame 12 is the image `frame_000012`, as CVAT exports it.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.items import Dataset, Located
from services.formats.readers.cvat import cvat_root, drawn_shape, shape_of
from services.formats.readers.returned import (
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)


def read_cvat_video(file: Path, sent: NamedFrames) -> Dataset:
    """Open the `annotations.xml` of a video.

    Frames of the task without a box count as annotated and empty.

    Raises
    ------
    InvalidRecord
        The file cannot be read at all.
    """
    root = cvat_root(file)
    shapes: dict[int, list[Record]] = defaultdict(list)
    for track in root.findall("track"):
        for element in track:
            shape = shape_of(element)
            number = fields.side(shape.get("frame")) if shape.get("frame") != "0" else 0
            if number is None:
                raise InvalidRecord(f"{file}: a shape is on no frame", reason="invalid_xml")
            if shape.get("outside") != "1":
                shapes[number].append({**shape, "label": track.get("label")})
    task = _task(root)
    numbers = sorted({*shapes, *_frames(task)})
    size = None
    if task is not None:
        across, down = (fields.side(task.findtext(f"original_size/{s}")) for s in _SIDES)
        size = None if across is None or down is None else (across, down)
    sources = [Located[object](shapes[number], f"{file}:frame {number}") for number in numbers]

    def parse(source: Located[object]) -> Sequence[Version]:
        number = int(source.location.rpartition(" ")[2])
        frame = ReturnedFrame(sent.of(f"frame_{number:06}").frame_id, size, source.location)
        return [version_of(frame, shapes[number], partial(drawn_shape, size))]

    return Dataset(file.stem, len(sources), returned(sources, parse))


_SIDES = ("width", "height")


def _task(root: Element) -> Element | None:
    """The description of the task, or of the job, that the file was exported from."""
    found = [root.find(f"meta/{kind}") for kind in ("task", "job")]
    described = next((element for element in found if element is not None), None)
    return described if described is not None else root.find("meta")


def _frames(task: Element | None) -> range:
    """The numbers of the task's frames; empty if it has none."""
    size = None if task is None else fields.side(task.findtext("size"))
    return range(size or 0)
