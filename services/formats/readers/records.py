"""Lists of foreign records with their location in the file, grouped by image."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, cast

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Located, RecordKind, Rejection

T = TypeVar("T")
ImageKey = int | str
Groups = dict[ImageKey, list[Located[Record]]]


@dataclass
class Notes:
    """Adjustments and rejections collected while a frame is read."""

    rejected: list[Rejection] = field(default_factory=list)
    adjustments: Counter[Adjustment] = field(default_factory=Counter)


def located(file: Path, name: str, values: object) -> list[Located[object]]:
    """The elements of a file's list `name`, with their locations.

    Raises
    ------
    InvalidRecord
        It is not a list.
    """
    if not isinstance(values, list):
        raise fields.malformed(f"{file}: {name} is not a list")
    return [Located(value, f"{file}:{name}[{at}]") for at, value in enumerate(values)]


def rejection(
    error: InvalidRecord, source: Located[object], kind: RecordKind | None = None
) -> Rejection:
    """The rejection of a record that breaks a rule."""
    raw = fields.raw(source.value)
    return Rejection(error.reason, str(error), source.location, raw, kind=kind)


def refused_frame(error: InvalidRecord, source: Located[object]) -> Rejection:
    """The rejection of a whole frame, whose record breaks a rule."""
    return replace(rejection(error, source), whole_frame=True)


def parsed(
    sources: Iterable[Located[object]],
    parse: Callable[[Located[Record]], T],
    rejected: list[Rejection],
    kind: RecordKind | None = None,
) -> list[Located[T]]:
    """Parse the records; those that `parse` refuses are added to `rejected`."""
    found = []
    for source in sources:
        try:
            fields.record(source.value, "the record")
            value = parse(cast("Located[Record]", source))
        except InvalidRecord as exc:
            rejected.append(rejection(exc, source, kind))
        else:
            found.append(Located(value, source.location))
    return found


def by_image(
    sources: Iterable[Located[object]],
    image_of: Callable[[Record], ImageKey],
    rejected: list[Rejection],
    kind: RecordKind | None = None,
) -> Groups:
    """The records of each image, in file order.

    Records whose image `image_of` refuses are added to `rejected`. A record's own `id` is ignored,
    because many tools restart their numbering for each image.
    """
    groups: Groups = defaultdict(list)

    def place(source: Located[Record]) -> ImageKey:
        image = image_of(source.value)
        groups[image].append(source)
        return image

    parsed(sources, place, rejected, kind)
    return groups


def may_be_of_any(refused: Iterable[Rejection]) -> bool:
    """Whether a record is refused that names no image at all, and so may belong to any of them."""
    return any(rejection.reason != "unknown_image" for rejection in refused)


def without(
    parse: Callable[[], T | None], source: Located[object], rejected: list[Rejection]
) -> T | None:
    """Parse an optional part of a record; if refused, only the part is added to `rejected`."""
    try:
        return parse()
    except InvalidRecord as exc:
        rejected.append(rejection(exc, source))
        return None


def claim(key: ImageKey, seen: set[ImageKey]) -> None:
    """Register an id that may occur only once.

    Raises
    ------
    InvalidRecord
        `duplicate_id`: it occurred before.
    """
    if key in seen:
        raise InvalidRecord(f"id {key!r:.60} came before", reason="duplicate_id")
    seen.add(key)


def whole_frame(image: object, **parts: Sequence[Located[Record]]) -> dict[str, object]:
    """A refused frame with everything that depends on it, so that its dead letter is complete."""
    lists = {name: [source.value for source in part] for name, part in parts.items()}
    return {"image": image, **lists}


def declared_size(record: Record) -> Size | None:
    """The `width` and `height` of an image's record; None if they are not valid."""
    width, height = fields.side(record.get("width")), fields.side(record.get("height"))
    if width is None or height is None or max(width, height) >= 2**17:
        return None
    return width, height
