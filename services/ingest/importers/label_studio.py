"""Label Studio's JSON, come back: one task a frame, what annotators submitted counts."""

from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from services.contracts.bounds import MAX_SECONDS
from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import FrameId
from services.ingest import fields
from services.ingest.fields import Record
from services.ingest.importers.returned import (
    Manifest,
    Sent,
    annotation,
    frame_of,
    one_of,
    returned,
)
from services.ingest.items import Dataset, Disputed, FrameItem, Located
from services.ingest.json_files import read_json

_SIDES = ("x", "y", "width", "height")
_ANY_SIZE = (2**17, 2**17)
_LONGEST_NAME = 100


def read_label_studio(file: Path, sent: Manifest | None = None) -> Dataset:
    """Open an export of Label Studio (JSON).

    A task's `data.frame_id` names its frame, else the file name of its image. A task that nobody
    has submitted, or that was skipped, is refused.

    Parameters
    ----------
    sent : what was exported; it knows frames by their images' file names

    Raises
    ------
    InvalidRecord
        The file cannot be read at all.
    """
    content = read_json(file)
    if not isinstance(content, list):
        raise fields.malformed(f"{file}: not a list of tasks")
    if content and not any(isinstance(each, dict) and "data" in each for each in content):
        raise InvalidRecord(
            f"{file} is no export of tasks: choose JSON in Label Studio, not JSON-MIN",
            reason="unsupported_format",
        )
    sources = [Located(task, f"{file}:[{at}]") for at, task in enumerate(content)]
    return Dataset(file.stem, len(sources), returned(sources, partial(frame_of_task, sent=sent)))


def frame_of_task(source: Located[object], sent: Manifest | None = None) -> FrameItem | Disputed:
    """The frame of one task, as it was submitted; every version where annotators disagree.

    Raises
    ------
    InvalidRecord
        `unknown_image`: the task is none of ours. `unfinished_task`, `skipped_task`: nobody has
        said anything. Or a box that is none.
    """
    task = fields.record(source.value, "the task")
    frame_id = _frame_id(task, sent)
    given = task.get("annotations")
    submitted = [fields.record(each, "an annotation") for each in given or ()]
    if not submitted:
        raise InvalidRecord("nobody has submitted this task", reason="unfinished_task")
    counting = [each for each in submitted if not each.get("was_cancelled")]
    if not counting:
        raise InvalidRecord("the annotator has skipped this task", reason="skipped_task")
    frames = [_frame(frame_id, each, source.location) for each in counting]
    return one_of(frames, source.location)


def _frame_id(task: Record, sent: Manifest | None) -> FrameId:
    """The frame that a task names, or else the one whose image it shows.

    Raises
    ------
    InvalidRecord
        `unknown_image`: it names none, or no or several images that were sent.
    """
    data = fields.record(task.get("data"), "data")
    given = data.get("frame_id")
    if isinstance(given, str):
        own = fields.own_frame_id(given)
        if own is None:
            raise InvalidRecord(f"frame_id {given!r:.60} is not an id", reason="unknown_image")
        return own
    if sent is None:
        detail = "the task names no frame_id: name the export's manifest.json with --manifest"
        raise InvalidRecord(detail, reason="unknown_image")
    named = [name for value in data.values() if isinstance(value, str) for name in _names(value)]
    found = {frame.frame_id for frame in map(sent.find, named) if frame is not None}
    if len(found) != 1:
        shown = ", ".join(dict.fromkeys(named))
        what = "no image" if not found else f"{len(found)} images"
        raise InvalidRecord(
            f"the task names no frame_id, and {what} of the manifest: {shown:.200}",
            reason="unknown_image",
        )
    return found.pop()


def _names(address: str) -> list[str]:
    """The file names in the address of an image: of its path, and of a local file's `?d=`."""
    try:
        parts = urlsplit(address)
    except ValueError:  # text that looks like a broken address
        return []
    paths = [unquote(parts.path), *parse_qs(parts.query).get("d", ())]
    return [name for path in paths if (name := PurePosixPath(path).name)]


def _frame(frame_id: FrameId, submitted: Record, location: str) -> FrameItem:
    found, size = _annotations(submitted)
    lead_time = fields.number(submitted.get("lead_time"))
    timed = lead_time is not None and 0 <= lead_time <= MAX_SECONDS
    return frame_of(
        Sent(frame_id, size or _ANY_SIZE),
        found,
        location,
        annotated_by=_annotator(submitted.get("completed_by")),
        lead_time_s=lead_time if timed else None,
    )


def _annotator(given: object) -> str | None:
    """An annotator's address, or their number where that is all that the tool says."""
    if isinstance(given, dict):
        email = given.get("email")
        if isinstance(email, str) and email.isprintable() and 0 < len(email) <= _LONGEST_NAME:
            return email
        given = given.get("id")
    return f"user {given}" if type(given) is int else None


def _annotations(submitted: Record) -> tuple[list[Annotation], tuple[int, int] | None]:
    results = submitted.get("result")
    if not isinstance(results, list):
        raise fields.malformed("result is not a list")
    size = None
    found = []
    for each in results:
        result = fields.record(each, "a result")
        if result.get("type") != "rectanglelabels":
            kind = result.get("type")
            raise InvalidRecord(f"a {kind!r:.40} has no box", reason="unsupported_shape")
        size = _size(result)
        found.append(_annotation(result, size))
    return found, size


def _size(result: Record) -> tuple[int, int]:
    width, height = result.get("original_width"), result.get("original_height")
    if type(width) is not int or type(height) is not int or min(width, height) < 1:
        raise fields.malformed("a result has no original_width and original_height")
    return width, height


def _annotation(result: Record, size: tuple[int, int]) -> Annotation:
    value = fields.record(result.get("value"), "value")
    x, y, width, height = (fields.number(value.get(side)) for side in _SIDES)
    if x is None or y is None or width is None or height is None:
        raise InvalidRecord("a side of a rectangle is no number", reason="invalid_box")
    if value.get("rotation"):
        raise InvalidRecord("a rectangle is turned; boxes are upright", reason="rotated_box")
    labels = value.get("rectanglelabels")
    if not isinstance(labels, list) or len(labels) != 1:
        raise InvalidRecord("a rectangle has not one label", reason="unknown_category")
    left, top = x * size[0] / 100, y * size[1] / 100
    right, bottom = left + width * size[0] / 100, top + height * size[1] / 100
    meta = result.get("meta")
    flags = meta if isinstance(meta, dict) else {}
    return annotation(
        labels[0],
        (left, top, right, bottom),
        size,
        crowd=flags.get("crowd") is True,
        ignore=flags.get("ignore") is True,
    )
