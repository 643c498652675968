"""Read Label Studio's JSON: one task per frame; only submitted annotations count."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from services.contracts.bounds import MAX_SECONDS
from services.contracts.errors import InvalidRecord
from services.contracts.identity import Box, FrameId
from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.json_files import read_json
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)

_SIDES = ("x", "y", "width", "height")
_MAX_NAME_LENGTH = 100
_RECTANGLE, _POLYGON = "rectanglelabels", "polygonlabels"
_WITHOUT_SHAPE = frozenset(
    {
        "choices",
        "datetime",
        "number",
        "pairwise",
        "ranker",
        "rating",
        "relation",
        "taxonomy",
        "textarea",
    }
)
"""Result types without a shape. They are skipped, because they cannot hide an object."""


def read_label_studio(file: Path, sent: NamedFrames | None = None) -> Dataset:
    """Open an export of Label Studio (JSON).

    A task's `data.frame_id` names its frame, else the file name of its image does. A task without
    a submission, or a skipped one, is refused.

    Parameters
    ----------
    sent : the export's manifest; maps image file names to frames

    Raises
    ------
    InvalidRecord
        The file cannot be read at all.
    """
    content = read_json(file)
    if not isinstance(content, list):
        raise fields.malformed(f"{file}: not a list of tasks")
    if content and not any(isinstance(item, dict) and "data" in item for item in content):
        raise InvalidRecord(
            f"{file} is no export of tasks: choose JSON in Label Studio, not JSON-MIN",
            reason="unsupported_format",
        )
    sources = [Located(task, f"{file}:[{at}]") for at, task in enumerate(content)]
    return Dataset(file.stem, len(sources), returned(sources, partial(versions_of_task, sent=sent)))


def versions_of_task(source: Located[object], sent: NamedFrames | None = None) -> list[Version]:
    """Each annotator's submission for a task's frame.

    Raises
    ------
    InvalidRecord
        `unknown_image`: the task shows no frame of ours. `unfinished_task`, `skipped_task`: nobody
        has submitted anything.
    """
    task = fields.record(source.value, "the task")
    frame_id = _frame_id(task, sent)
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list):
        raise fields.malformed("annotations is not a list")
    submitted = [fields.record(item, "an annotation") for item in annotations]
    if not submitted:
        raise InvalidRecord("nobody has submitted this task", reason="unfinished_task")
    counting = [item for item in submitted if not item.get("was_cancelled")]
    if not counting:
        raise InvalidRecord("the annotator has skipped this task", reason="skipped_task")
    return [_version(frame_id, item, source.location) for item in counting]


def _frame_id(task: Record, sent: NamedFrames | None) -> FrameId:
    """The frame that a task names, or else the frame whose image it shows.

    Raises
    ------
    InvalidRecord
        `unknown_image`: it names no frame, and its image matches none or several that were sent.
    """
    data = fields.record(task.get("data"), "data")
    raw_id = data.get("frame_id")
    if isinstance(raw_id, str):
        frame_id = fields.own_frame_id(raw_id)
        if frame_id is None:
            raise InvalidRecord(f"frame_id {raw_id!r:.60} is not an id", reason="unknown_image")
        return frame_id
    if sent is None:
        detail = "the task names no frame_id: name the export's manifest.json with --manifest"
        raise InvalidRecord(detail, reason="unknown_image")
    named = [name for value in data.values() if isinstance(value, str) for name in _names(value)]
    found = {frame.frame_id for frame in map(sent.find, named) if frame is not None}
    if len(found) != 1:
        shown = ", ".join(dict.fromkeys(named))
        subject = "no image" if not found else f"{len(found)} images"
        raise InvalidRecord(
            f"the task names no frame_id, and {subject} of the manifest: {shown:.200}",
            reason="unknown_image",
        )
    return found.pop()


def _names(address: str) -> list[str]:
    """The file names in an image's URL: from its path, and from a local file's `?d=`."""
    try:
        parts = urlsplit(address)
    except ValueError:  # text that looks like a broken address
        return []
    paths = [unquote(parts.path), *parse_qs(parts.query).get("d", ())]
    return [name for path in paths if (name := PurePosixPath(path).name)]


def _version(frame_id: FrameId, submitted: Record, location: str) -> Version:
    results = submitted.get("result")
    if not isinstance(results, list):
        raise fields.malformed("result is not a list")
    lead_time = fields.number(submitted.get("lead_time"))
    timed = lead_time is not None and 0 <= lead_time <= MAX_SECONDS
    frame = ReturnedFrame(
        frame_id,
        _size_of(results),
        location,
        annotated_by=_annotator(submitted.get("completed_by")),
        lead_time_s=lead_time if timed else None,
    )
    return version_of(frame, results, _drawn)


def _annotator(annotator: object) -> str | None:
    """An annotator's email address, or their number if the tool has only that."""
    if isinstance(annotator, dict):
        email = annotator.get("email")
        if isinstance(email, str) and email.isprintable() and 0 < len(email) <= _MAX_NAME_LENGTH:
            return email
        annotator = annotator.get("id")
    return f"user {annotator}" if type(annotator) is int else None


def _size_of(results: Sequence[object]) -> Size | None:
    """The size of the image that rectangles were drawn on; None without rectangles.

    Raises
    ------
    InvalidRecord
        `size_mismatch`: the results declare several sizes.
    """
    sizes = {_size(result) for result in results if isinstance(result, dict) and _is_box(result)}
    sizes.discard(None)
    if len(sizes) > 1:
        raise InvalidRecord("rectangles are on pictures of several sizes", reason="size_mismatch")
    return next(iter(sizes), None)


def _is_box(result: Record) -> bool:
    return result.get("type") in (_RECTANGLE, _POLYGON)  # which compares values of any type


def _size(result: Record) -> Size | None:
    width, height = (fields.side(result.get(f"original_{name}")) for name in ("width", "height"))
    return None if width is None or height is None else (width, height)


def _drawn(item: object) -> DrawnBox | None:
    result = fields.record(item, "a result")
    kind = result.get("type")
    if isinstance(kind, str) and kind in _WITHOUT_SHAPE:
        return None
    if not _is_box(result):
        raise InvalidRecord(f"a {kind!r:.40} has no box", reason="unsupported_shape")
    size = _size(result)
    if size is None:
        raise fields.malformed("a result has no original_width and original_height")
    if result.get("image_rotation"):
        detail = "the image was rotated in the tool: rotate it back, and submit the task again"
        raise InvalidRecord(detail, reason="rotated_image")
    value = fields.record(result.get("value"), "value")
    labels = value.get(kind) if isinstance(kind, str) else None
    if not isinstance(labels, list) or len(labels) != 1:
        raise InvalidRecord("a shape has not one label", reason="unknown_category")
    meta = result.get("meta")
    flags = meta if isinstance(meta, dict) else {}
    if kind == _POLYGON:
        drawn = DrawnBox.polygon(labels[0], _points(value, size))
    else:
        degrees = fields.rotation(value)
        drawn = DrawnBox(labels[0], _corners(value, size, degrees), degrees)
    return drawn._replace(crowd=flags.get("crowd") is True, ignore=flags.get("ignore") is True)


def _points(value: Record, size: Size) -> list[list[float]]:
    """A polygon's points in pixels; the tool has them in percent of the image."""
    points = value.get("points")
    corners: list[list[float]] = []
    for point in points if isinstance(points, list) else ():
        coordinates = [fields.number(number) for number in point] if isinstance(point, list) else []
        numbers = [number for number in coordinates if number is not None]
        if len(numbers) != len(size):
            raise InvalidRecord("a point of a polygon is not two numbers", reason="invalid_box")
        corners.append([number * side / 100 for number, side in zip(numbers, size, strict=True)])
    return corners


def _corners(value: Record, size: Size, degrees: float) -> Box:
    """Corners in pixels of the rectangle before rotation about its centre.

    Label Studio uses percent of the image, and rotates clockwise about the top left corner, which
    stays fixed while the centre moves around it.
    """
    sides = [fields.number(value.get(side)) for side in _SIDES]
    numbers = [item for item in sides if item is not None]
    if len(numbers) != len(_SIDES):
        raise InvalidRecord("a side of a rectangle is no number", reason="invalid_box")
    x, y, width, height = (number * size[at % 2] / 100 for at, number in enumerate(numbers))
    if degrees:
        sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        x += (width * cosine - height * sine - width) / 2
        y += (width * sine + height * cosine - height) / 2
    return (x, y, x + width, y + height)
