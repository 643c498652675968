"""Tags of images in a CSV file, joined to a data set by the images' names.

The first line names the columns: `file_name`, and a key per further column. A name may have the
folders that lead to the image, as far as needed to tell images of one name apart. An empty cell is
no tag. Where an image has a tag of the same key, the file's counts.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

import orjson

from services.contracts.errors import InvalidRecord
from services.contracts.names import MAX_TAG_KEY_LENGTH, MAX_TAG_VALUE_LENGTH, MAX_TAGS
from services.formats.items import Dataset, FrameItem, Item, RecordKind, Rejection
from services.formats.readers.folders import plain_name

_NAME: Final = "file_name"


@dataclass(frozen=True)
class TaggedName:
    """A line of the file."""

    tags: Mapping[str, str]
    location: str


def read_tag_file(path: Path) -> dict[tuple[str, ...], TaggedName]:
    """The tags of each name in the file, by the parts of its path.

    Raises
    ------
    InvalidRecord
        `unreadable_file`: it is no text, or cannot be read. `invalid_tags`: a column or a line is
        wrong, or a name occurs twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened, restkey="")
            columns = list(rows.fieldnames or ())
            if _NAME not in columns or len({*columns}) < len(columns):
                detail = f"{path}: the columns are {columns}; {_NAME} and distinct keys are needed"
                raise InvalidRecord(detail, reason="invalid_tags")
            found: dict[tuple[str, ...], TaggedName] = {}
            for row in rows:
                location = f"{path.name}:{rows.line_num}"
                parts = _parts(row.pop(_NAME) or "")
                if not parts or parts in found or "" in row:
                    detail = f"{location}: no name, a name that occurred before, or too many cells"
                    raise InvalidRecord(detail, reason="invalid_tags")
                found[parts] = TaggedName(_checked(row, location), location)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InvalidRecord(f"{path}: {exc}", reason="unreadable_file") from exc
    return found


def with_tags(dataset: Dataset, names: Mapping[tuple[str, ...], TaggedName]) -> Dataset:
    """The data set with these tags on its images; names without an image are refused at the end."""
    return replace(dataset, items=_tagged(dataset, names))


def _tagged(dataset: Dataset, names: Mapping[tuple[str, ...], TaggedName]) -> Iterator[Item]:
    used = set()
    for item in dataset.items:
        name = _name_of(item, names) if isinstance(item, FrameItem) else None
        if name is None:
            yield item
            continue
        used.add(name)
        assert isinstance(item, FrameItem)
        tags = {**(item.tags or {}), **names[name].tags}
        if len(tags) > MAX_TAGS:
            detail = f"{'/'.join(name)}: more than {MAX_TAGS} tags with the image's own"
            yield _refused(name, names[name], "invalid_tags", detail)
            yield item
        else:
            yield replace(item, tags=tags or None)
    for name, line in names.items():
        if name not in used:
            yield _refused(
                name, line, "unknown_file_name", f"{'/'.join(name)}: no image of this name"
            )


def _refused(name: tuple[str, ...], line: TaggedName, reason: str, detail: str) -> Rejection:
    raw = orjson.dumps({_NAME: "/".join(name), **line.tags})
    return Rejection(reason, detail, line.location, raw, kind=RecordKind.FRAME)


def _name_of(
    item: FrameItem, names: Mapping[tuple[str, ...], TaggedName]
) -> tuple[str, ...] | None:
    """The longest name that the path of the item's image ends with."""
    parts = _parts(item.image.as_posix()) if item.image is not None else ()
    ends = (parts[first:] for first in range(len(parts)))
    return next((end for end in ends if end in names), None)


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(plain_name(None, name.strip())).parts


def _checked(row: Mapping[str, str | None], location: str) -> dict[str, str]:
    tags = {key: value.strip() for key, value in row.items() if value is not None and value.strip()}
    fits = all(
        0 < len(key) <= MAX_TAG_KEY_LENGTH
        and len(value) <= MAX_TAG_VALUE_LENGTH
        and (key + value).isprintable()
        for key, value in tags.items()
    )
    if len(tags) > MAX_TAGS or not fits:
        detail = (
            f"{location}: more than {MAX_TAGS} tags, or a key longer than {MAX_TAG_KEY_LENGTH}, or"
            f" a value longer than {MAX_TAG_VALUE_LENGTH} printable characters"
        )
        raise InvalidRecord(detail, reason="invalid_tags")
    return tags
