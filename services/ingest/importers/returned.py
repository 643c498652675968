"""What comes back from an annotation tool, under the names that our export gave."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Box, FrameId, VehicleId
from services.domain.agreement import agree
from services.ingest import fields
from services.ingest.importers.records import claim, rejection
from services.ingest.importers.results import category_name
from services.ingest.items import Disputed, FrameItem, Item, Located, Rejection
from services.ingest.json_files import read_json

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
            said = fields.record(value, name)
            frame_id, width, height = (said.get(key) for key in ("frame_id", "width", "height"))
            if not (isinstance(frame_id, str) and type(width) is int and type(height) is int):
                raise fields.malformed(f"{file}: {name} is not a frame of an export")
            annotations = tuple(
                fields.checked(Annotation, **fields.record(each, name))
                for each in said.get("annotations", ())
            )
            frames[Path(name).stem] = Sent(FrameId(frame_id), (width, height), annotations)
        return cls(frames)

    def find(self, name: str) -> Sent | None:
        """The frame of an image's file name, if it was sent."""
        stem = Path(name.replace("\\", "/")).stem
        renamed = (form.fullmatch(stem) for form in (_UPLOADED, _ROBOFLOW))
        stems = [stem, *(found["name"] for found in renamed if found)]
        return next((self.frames[each] for each in stems if each in self.frames), None)

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


def returned(
    records: Iterable[Located[object]], parse: Callable[[Located[object]], FrameItem | Disputed]
) -> Iterator[Item]:
    """Each record's frame, or its refusal: a correction is taken whole, or not at all."""
    seen: set[int | str] = set()
    for source in records:
        try:
            frame = parse(source)
            first = frame.versions[0] if isinstance(frame, Disputed) else frame
            claim(first.frame_id, seen)
        except InvalidRecord as exc:
            refused: Rejection = rejection(exc, source)
            yield replace(refused, whole_frame=True)
        else:
            yield frame


def frame_of(
    sent: Sent,
    annotations: Iterable[Annotation],
    location: str,
    *,
    annotated_by: str | None = None,
    lead_time_s: float | None = None,
) -> FrameItem:
    """The frame with its corrected ground truth."""
    return FrameItem(
        frame_id=sent.frame_id,
        vehicle_id=RETURNED_BY,
        location=location,
        image=None,
        size=sent.size,
        annotations=tuple(Located(each, location) for each in annotations),
        annotated_by=annotated_by,
        lead_time_s=lead_time_s,
    )


def one_of(versions: Sequence[FrameItem], location: str) -> FrameItem | Disputed:
    """What several people say of one frame, where they agree; else all of it."""
    said = [[each.value for each in version.annotations or ()] for version in versions]
    if all(agree(said[0], other) for other in said[1:]):
        return versions[0]
    return Disputed(tuple(versions), location)


def annotation(
    label: object, corners: Box, size: tuple[int, int], *, crowd: bool = False, ignore: bool = False
) -> Annotation:
    """An annotation from the corners of its box.

    Raises
    ------
    InvalidRecord
        The label is no category, or the box has no area or lies outside the image.
    """
    left, top, right, bottom = corners
    bbox = fields.box([left, top, right - left, bottom - top])
    if left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0:
        raise InvalidRecord(f"the box {bbox} lies outside the image", reason="box_outside_image")
    category = category_name(label)
    return fields.checked(Annotation, category=category, bbox=bbox, crowd=crowd, ignore=ignore)
