"""Lists of foreign records: each with its place in the file, in groups by image."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Located, RecordKind, Rejection

T = TypeVar("T")
ImageKey = int | str
Groups = dict[ImageKey, list[Located[Record]]]

_HIDES_NOTHING = frozenset({"box_without_area", "box_outside_image"})


@dataclass
class Notes:
    """What the reading of a frame brings up beside its boxes."""

    rejected: list[Rejection] = field(default_factory=list)
    adjustments: Counter[Adjustment] = field(default_factory=Counter)


def located(file: Path, name: str, values: object) -> list[Located[object]]:
    """The elements of a file's list `name`, with where they are.

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
    """What became of a record that breaks a rule."""
    raw = fields.raw(source.value)
    return Rejection(error.reason, str(error), source.location, raw, kind=kind)


def parsed(
    sources: Iterable[Located[object]],
    parse: Callable[[Located[Record]], T],
    rejected: list[Rejection],
    kind: RecordKind | None = None,
) -> list[Located[T]]:
    """What `parse` makes of the records; those that it refuses are added to `rejected`."""
    found = []
    for source in sources:
        try:
            record = fields.record(source.value, "the record")
            value = parse(Located(record, source.location))
        except InvalidRecord as exc:
            rejected.append(rejection(exc, source, kind))
        else:
            found.append(Located(value, source.location))
    return found


def hides_nothing(reason: str) -> bool:
    """Whether a box that is refused for this reason stands for nothing in the picture."""
    return reason in _HIDES_NOTHING


def hide_nothing(refused: Iterable[Rejection]) -> bool:
    """Whether no refused box can stand for something in the picture."""
    return all(hides_nothing(rejection.reason) for rejection in refused)


def by_image(
    sources: Iterable[Located[object]],
    image_of: Callable[[Record], ImageKey],
    rejected: list[Rejection],
    kind: RecordKind | None = None,
) -> Groups:
    """The records of each image, in their order.

    Records of which `image_of` refuses the image are added to `rejected`. A record's own `id`
    means nothing: many tools count them anew for each image.
    """
    groups: Groups = defaultdict(list)

    def place(source: Located[Record]) -> ImageKey:
        image = image_of(source.value)
        groups[image].append(source)
        return image

    parsed(sources, place, rejected, kind)
    return groups


def without(
    parse: Callable[[], T | None], source: Located[Record], rejected: list[Rejection]
) -> T | None:
    """A part that its record can do without: refused, it is added to `rejected` by itself."""
    try:
        return parse()
    except InvalidRecord as exc:
        rejected.append(rejection(exc, source))
        return None


def claim(key: ImageKey, seen: set[ImageKey]) -> None:
    """Take an id that may be used once.

    Raises
    ------
    InvalidRecord
        `duplicate_id`: it is taken.
    """
    if key in seen:
        raise InvalidRecord(f"id {key!r:.60} came before", reason="duplicate_id")
    seen.add(key)


def whole_frame(image: object, **parts: Sequence[Located[Record]]) -> dict[str, object]:
    """A refused frame with all that depended on it, so that its dead letter holds everything."""
    lists = {name: [source.value for source in part] for name, part in parts.items()}
    return {"image": image, **lists}


def declared_size(record: Record) -> Size | None:
    """The `width` and `height` of an image's record, where they can be."""
    width, height = record.get("width"), record.get("height")
    if type(width) is int and type(height) is int and 0 < width < 2**17 and 0 < height < 2**17:
        return width, height
    return None
