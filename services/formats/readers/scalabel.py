"""BDD100K and Scalabel: a list of frames, or an object with `frames`, each with `labels`.

See scalabel/label/typing.py. A frame's `attributes` (weather, scene, time of day) become tags, its
`videoName` its drive. Labels without a box, such as lanes and drivable areas, are left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.contracts.identity import DriveId
from services.formats import fields
from services.formats.fields import Record
from services.formats.items import Dataset, Located
from services.formats.json_files import read_json
from services.formats.readers.records import declared_size, located
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)
from services.formats.readers.traits import tags

_SIDES = ("x1", "y1", "x2", "y2")


def is_scalabel(content: object) -> bool:
    """Whether a JSON file is a list of frames with labels."""
    frames = _frames(content)
    first = frames[0] if isinstance(frames, list) and frames else None
    return isinstance(first, dict) and "name" in first and "labels" in first


def _frames(content: object) -> object:
    return content.get("frames") if isinstance(content, dict) else content


def read_scalabel(file: Path, sent: NamedFrames) -> Dataset:
    """Open a file of labels.

    Raises
    ------
    InvalidRecord
        The file is unreadable.
    """
    content = read_json(file)
    sources = located(file, "frames", _frames(content))
    config = content.get("config") if isinstance(content, dict) else None
    shared = config.get("imageSize") if isinstance(config, dict) else None

    def parse(source: Located[object]) -> Sequence[Version]:
        record = fields.record(source.value, "the frame")
        found = sent.of(str(record.get("name")))
        size = record.get("size") or shared
        video = record.get("videoName", record.get("video_name"))
        frame = ReturnedFrame(
            found.frame_id,
            declared_size(size) if isinstance(size, Mapping) else None,
            source.location,
            drive_id=DriveId(fields.quoted(video)) if isinstance(video, str) and video else None,
            tags=_tags(record),
        )
        labels = record.get("labels") or []
        if not isinstance(labels, list):
            raise fields.malformed("labels is not a list")
        return [version_of(frame, labels, _drawn)]

    return Dataset(file.stem, len(sources), returned(sources, parse))


def _tags(record: Record) -> dict[str, str] | None:
    attributes = record.get("attributes")
    return tags({"tags": attributes}) if isinstance(attributes, dict) else None


def _drawn(item: object) -> DrawnBox | None:
    label = fields.record(item, "a label")
    box = label.get("box2d")
    if box is None:
        return None
    sides = [fields.number(fields.record(box, "box2d").get(side)) for side in _SIDES]
    left, top, right, bottom = (float("nan") if side is None else side for side in sides)
    attributes = label.get("attributes")
    crowd = isinstance(attributes, dict) and fields.crowd(attributes.get("crowd"), "crowd")
    return DrawnBox(label.get("category"), (left, top, right, bottom), crowd=crowd)
