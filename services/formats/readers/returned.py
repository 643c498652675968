"""What comes back from an annotation tool, under the names that our export gave."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Box, FrameId, VehicleId
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.geometry import Size, upright_box
from services.formats.items import FrameItem, Item, Located, RecordKind, Rejection
from services.formats.json_files import read_json
from services.formats.readers.records import hide_nothing, rejection
from services.formats.readers.results import category_name

R = TypeVar("R")

_UPLOADED = re.compile(r"[0-9a-f]{8}-(?P<name>.+)")
"""Label Studio begins the names of uploaded files with eight digits of a UUID."""
_ROBOFLOW = re.compile(r"(?P<name>.+)_(?:jpe?g|png)\.rf\.[0-9A-Za-z]{16,}", re.IGNORECASE)
"""Roboflow moves the ending into the name, and adds a hash."""
RETURNED_BY = VehicleId("annotation-team")
"""Stands where a frame's vehicle would: corrections say nothing of it."""


@dataclass(frozen=True)
class Sent:
    """A frame as it went out."""

    frame_id: FrameId
    size: tuple[int, int]
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The frames of an export, by the stem of their image's file name.

    Tools prefix folders, change endings and copy files about; the stem stays, but for what Label
    Studio puts before it and Roboflow behind it.
    """

    frames: dict[str, Sent]

    @classmethod
    def read(cls, file: Path) -> "Manifest":
        """The manifest that `gazeloop export` wrote.

        Raises
        ------
        InvalidRecord
            The file is none.
        """
        content = fields.record(read_json(file), str(file))
        frames = {}
        for name, value in fields.record(content.get("frames"), "frames").items():
            frame = fields.record(value, name)
            frame_id, width, height = (frame.get(key) for key in ("frame_id", "width", "height"))
            if not (isinstance(frame_id, str) and type(width) is int and type(height) is int):
                raise fields.malformed(f"{file}: {name} is not a frame of an export")
            annotations = tuple(
                fields.checked(Annotation, **fields.record(entry, name))
                for entry in frame.get("annotations", ())
            )
            frames[Path(name).stem] = Sent(FrameId(frame_id), (width, height), annotations)
        return cls(frames)

    def find(self, name: str) -> Sent | None:
        """The frame of an image's file name, if it was sent."""
        stem = Path(name.replace("\\", "/")).stem
        renamed = (form.fullmatch(stem) for form in (_UPLOADED, _ROBOFLOW))
        stems = [stem, *(found["name"] for found in renamed if found)]
        return next((self.frames[text] for text in stems if text in self.frames), None)

    def of(self, name: str) -> Sent:
        """The frame of an image's file name.

        Raises
        ------
        InvalidRecord
            `unknown_image`: it was not sent.
        """
        sent = self.find(name)
        if sent is None:
            raise InvalidRecord(f"{name!r:.200} was not exported", reason="unknown_image")
        return sent


class Drawn(NamedTuple):
    """A box as a tool gives it.

    Attributes
    ----------
    corners : left, top, right and bottom in pixels of the picture that the tool showed, before the
        box is rotated
    degrees : how far it is rotated about its centre
    """

    label: object
    corners: Box
    degrees: float = 0.0
    crowd: bool = False
    ignore: bool = False


class Version(NamedTuple):
    """What one person says of one frame, and the records of it that cannot be used."""

    item: FrameItem
    rejected: Sequence[Rejection]


class Frame(NamedTuple):
    """Which frame a record is about, and what the tool says of it as a whole.

    Attributes
    ----------
    size : width and height of the picture that the tool showed, where it says so
    """

    frame_id: FrameId
    size: Size | None
    location: str
    annotated_by: str | None = None
    lead_time_s: float | None = None


def version_of(frame: Frame, records: Iterable[R], drawn: Callable[[R], Drawn | None]) -> Version:
    """A frame's annotations. Where one that may hide an object is refused, it is not complete.

    Parameters
    ----------
    records : the annotations as the tool gives them
    drawn : the box of a record; none where it has no shape at all. Raises InvalidRecord.
    """
    adjustments: Counter[Adjustment] = Counter()
    annotations: list[Located[Annotation]] = []
    rejected: list[Rejection] = []
    for at, record in enumerate(records):
        source = Located(record, f"{frame.location}[{at}]")
        try:
            box = drawn(record)
            if box is None:
                adjustments[Adjustment.NO_SHAPE] += 1
            else:
                annotations.append(Located(_annotation(box, adjustments), source.location))
        except InvalidRecord as exc:
            rejected.append(rejection(exc, source, RecordKind.ANNOTATION))
    item = FrameItem(
        frame_id=frame.frame_id,
        vehicle_id=RETURNED_BY,
        location=frame.location,
        image=None,
        size=frame.size,
        annotations=tuple(annotations),
        # Without any of its boxes, a frame would be annotated and empty.
        complete=hide_nothing(rejected) and bool(annotations or not rejected),
        annotated_by=frame.annotated_by,
        lead_time_s=frame.lead_time_s,
        adjustments=adjustments,
    )
    return Version(item, rejected)


def returned(
    records: Iterable[Located[object]], parse: Callable[[Located[object]], Sequence[Version]]
) -> Iterator[Item]:
    """All that the records say of their frames, and what is refused."""
    for source in records:
        try:
            versions = parse(source)
        except InvalidRecord as exc:
            yield replace(rejection(exc, source), whole_frame=True)
        else:
            for version in versions:
                yield from version.rejected
                yield version.item


def _annotation(box: Drawn, adjustments: Counter[Adjustment]) -> Annotation:
    """An annotation from a box, of which the upright one around it is taken.

    Raises
    ------
    InvalidRecord
        The label is no category, or the box has no area or is not one.
    """
    left, top, right, bottom = box.corners
    if left > right or top > bottom:
        adjustments[Adjustment.CORNERS_SORTED] += 1
        left, right = sorted((left, right))
        top, bottom = sorted((top, bottom))
    bbox = fields.box([left, top, right - left, bottom - top])
    if box.degrees % 360:
        bbox = upright_box(bbox, box.degrees)
        adjustments[Adjustment.ROTATED_BOX] += 1
    category = category_name(box.label)
    return fields.checked(
        Annotation, category=category, bbox=bbox, crowd=box.crowd, ignore=box.ignore
    )
