"""Read CVAT for video 1.1: tracks, whose boxes CVAT has interpolated on every frame.

A frame has no name in the file: frame 12 is the image `frame_000012`, as CVAT exports it.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.readers.cvat import cvat_root, drawn_shape, shape_of
from services.formats.readers.returned import (
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)

_STEP = re.compile(r"step=([1-9]\d*)")
"""The frame filter of a task, of which every so many frames of the video are part."""


def read_cvat_video(file: Path, sent: NamedFrames) -> Dataset:
    """Open the `annotations.xml` of a video.

    Frames of the task, or of the job, without a box count as annotated and empty.

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
    numbers = sorted({*shapes, *_frames(root)})
    size = _size(root)
    sources = [Located[object](shapes[number], f"{file}:frame {number}") for number in numbers]

    def parse(source: Located[object]) -> Sequence[Version]:
        number = int(source.location.rpartition(" ")[2])
        frame = ReturnedFrame(sent.of(f"frame_{number:06}").frame_id, size, source.location)
        return [version_of(frame, shapes[number], partial(drawn_shape, size))]

    return Dataset(file.stem, len(sources), returned(sources, parse))


def _size(root: Element) -> Size | None:
    """The size of the pictures; None if there is none, or tasks of a project have several."""
    sizes = {
        tuple(fields.side(size.findtext(side)) for side in ("width", "height"))
        for size in root.iterfind("meta//original_size")
    }
    match [*sizes]:
        case [(int(width), int(height))]:
            return width, height
    return None


def _frames(root: Element) -> range:
    """The numbers in the video of the frames of a task, or of a job; empty if it has none."""
    found = [root.find(place) for place in ("meta/task", "meta/job", "meta")]
    described = next((element for element in found if element is not None), root)
    size = fields.side(described.findtext("size")) or 0
    # Frames are numbered as in the video: a job begins within it, and a task may skip frames.
    first = fields.side(described.findtext("start_frame")) or 0
    every = _STEP.fullmatch((described.findtext("frame_filter") or "").strip())
    step = int(every[1]) if every else 1
    return range(first, first + size * step, step)
