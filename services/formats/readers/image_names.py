"""Match references to a data set's images: by id, path, name, stem or number."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Final

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.fields import Record
from services.formats.items import Located
from services.formats.readers.records import ImageKey

IMAGE_ENDINGS: Final = (".jpg", ".jpeg", ".png")
"""Of the files that are images, in lower case."""
_MAX_DIGITS = 18
"""Number of digits that always stays below 2**63."""


def names_image(path: str) -> bool:
    """Whether a path has an image's ending."""
    return PurePosixPath(path).suffix.lower() in IMAGE_ENDINGS


def other_form(key: ImageKey) -> ImageKey | None:
    """`1` for `"1"` and `"1"` for `1`; None for a string that is not a number."""
    if isinstance(key, int):
        return str(key)
    number = int(key) if _is_number(key) else None
    return number if str(number) == key else None


class ImageNames:
    """An index of images by every name that another file may use for them.

    Parameters
    ----------
    paths : the images' paths relative to the data set's folder, by key
    """

    def __init__(self, paths: Mapping[ImageKey, str]) -> None:
        self._paths: dict[str, set[ImageKey]] = defaultdict(set)
        self._names: dict[ImageKey, set[ImageKey]] = defaultdict(set)
        self._count = len(paths)
        for key, path in paths.items():
            self._paths[_normalised(path)].add(key)
            for name in _names(_normalised(path)):
                self._names[name].add(key)

    def __len__(self) -> int:
        return self._count

    def find(self, name: ImageKey) -> set[ImageKey]:
        """The images that a name may mean: matched by path, or else by name, stem or number."""
        if isinstance(name, int):
            return self._names.get(name, set())
        path = _normalised(name)
        for tail in _tails(path):
            if tail in self._paths:
                return self._paths[tail]
        last = PurePosixPath(path).name
        calls: tuple[ImageKey, ...] = (path, without_ending(path), last, without_ending(last))
        return next((self._names[call] for call in calls if call in self._names), set())


class ImageReferences:
    """Resolves which image each record of one file refers to.

    A number is an id, even if written as a string. It counts as a file name only if all records
    of the file can be read as names and not all of them as ids: results may cover more images than
    the data set lists, and their ids may then equal numbers in other images' names.

    Parameters
    ----------
    ids : the data set's image ids; empty if it has only names
    sources : the file's records
    own : the file's own image ids with their names; they take precedence over the data set's ids

    Attributes
    ----------
    ambiguous : images with a refused record that may mean another image as well
    adjustments : assumptions, by image
    """

    def __init__(
        self,
        ids: Collection[ImageKey],
        names: ImageNames,
        sources: Iterable[Located[object]],
        own: Mapping[ImageKey, str] | None = None,
    ) -> None:
        self.ambiguous: set[ImageKey] = set()
        self.adjustments: dict[ImageKey, Counter[Adjustment]] = defaultdict(Counter)
        self._ids = ids
        self._names = names
        self._own = own or {}
        self._cached_meaning = cache(self._meaning)
        self._ways = [self._by_own] if own else self._ways_of({*_keys(sources)})

    def of(self, record: Record) -> ImageKey:
        """The image that a record names by `file_name`, or else by `image_id`.

        Raises
        ------
        InvalidRecord
            `unknown_image`: no image matches, or several do. `malformed_record`: it names none.
        """
        file_name, image_id = record.get("file_name"), record.get("image_id")
        named = self._names.find(file_name) if isinstance(file_name, str) and file_name else set()
        if image_id is None:
            return self._one(named, _named_key(file_name))
        key = _named_key(image_id)
        by_id = self._cached_meaning(key)
        if len(named) != 1:
            return self._one(by_id, key)
        (image,) = named
        if by_id and image not in by_id:
            self.adjustments[image][Adjustment.RESULT_BY_FILE_NAME] += 1
        return image

    def _one(self, found: set[ImageKey], name: ImageKey) -> ImageKey:
        if len(found) == 1:
            return next(iter(found))
        self.ambiguous |= found
        subject = f"{len(found)} images are" if found else "no image is"
        raise InvalidRecord(f"{subject} called {name!r:.200}", reason="unknown_image")

    def _meaning(self, key: ImageKey) -> set[ImageKey]:
        found: set[ImageKey] = set()
        return found.union(*(way(key) for way in self._ways))

    def _ways_of(self, keys: set[ImageKey]) -> list[Callable[[ImageKey], set[ImageKey]]]:
        """How to read the file's keys: as ids, as names, or as either."""
        if not self._ids:
            return [self._by_name]
        if all(key in self._ids for key in keys):
            return [self._by_id]
        ids, names = (all(map(way, keys)) for way in (self._by_id, self._by_name))
        if names:
            return [self._by_id, self._by_name] if ids else [self._by_name]
        return [self._by_id_or_text]

    def _by_id(self, key: ImageKey) -> set[ImageKey]:
        forms = (key, other_form(key))
        return next(({form} for form in forms if form is not None and form in self._ids), set())

    def _by_name(self, key: ImageKey) -> set[ImageKey]:
        other = other_form(key)
        return self._names.find(key) or (set() if other is None else self._names.find(other))

    def _by_id_or_text(self, key: ImageKey) -> set[ImageKey]:
        is_text = isinstance(key, str) and not _is_number(key)
        return self._by_id(key) or (self._by_name(key) if is_text else set())

    def _by_own(self, key: ImageKey) -> set[ImageKey]:
        name = self._own.get(key, self._own.get(other_form(key) or key))
        return set() if name is None else self._names.find(name)


def _named_key(value: object) -> ImageKey:
    try:
        return fields.key(value)
    except InvalidRecord as exc:
        raise fields.malformed(
            f"it names no image, as {exc}, and may belong to any: correct or remove it"
        ) from exc


def _keys(sources: Iterable[Located[object]]) -> Iterator[ImageKey]:
    for source in sources:
        image_id = source.value.get("image_id") if isinstance(source.value, Mapping) else None
        try:
            yield fields.key(image_id)
        except InvalidRecord:  # refused later, when the record is read
            continue


def _names(path: str) -> set[ImageKey]:
    name = PurePosixPath(path).name
    stem = without_ending(name)
    names: set[ImageKey] = {path, without_ending(path), name, stem}
    return names | ({int(stem)} if _is_number(stem) else set())


def _tails(path: str) -> Iterator[str]:
    """The path, then the path without its first folder, its first two, and so on."""
    yield path
    while "/" in path:
        path = path.partition("/")[2]
        yield path


def without_ending(name: str) -> str:
    """A path without an image's ending; other endings stay."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if names_image(name) else name


def _normalised(name: str) -> str:
    """The path with slashes, and with composed characters, which macOS writes decomposed."""
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./"))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS
