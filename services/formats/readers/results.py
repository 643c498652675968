"""A detector's results in COCO's form, whatever format they were read from."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from services.contracts.errors import InvalidRecord
from services.contracts.events import Detection
from services.contracts.identity import Category
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.box_units import require_sides
from services.formats.completeness import is_complete
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Located, RecordKind, Rejection
from services.formats.readers.category_names import (
    Categories,
    CategoryRule,
    categories_of,
    listed_category,
    named_category,
)
from services.formats.readers.detections.boxes import RelativeBox
from services.formats.readers.detections.output import Output
from services.formats.readers.folders import image_size
from services.formats.readers.image_names import ImageNames, ImageReferences
from services.formats.readers.records import (
    Groups,
    ImageKey,
    Notes,
    by_image,
    declared_size,
    located,
    may_be_of_any,
    parsed,
    without,
)
from services.formats.readers.shapes import detected_shape
from services.formats.readers.traits import attributes, track_id, vector

_TRAITS: Final[Mapping[str, Callable[[Record], object]]] = {
    "track_id": track_id,
    "attributes": attributes,
    "vector": vector,
}


class Found(NamedTuple):
    """A detector's output on one image.

    Attributes
    ----------
    detections : None if all of them were refused, which is no evidence about the detector
    complete : whether no refused detection can be an object
    size : the size of the image that they are drawn on, if their file declares it
    """

    detections: tuple[Located[Detection], ...] | None
    complete: bool = True
    size: Size | None = None


NOT_LOOKED = Found(None)
"""The value for an image that the detector did not run on."""


class Results:
    """A detector's output, with its records grouped by image.

    Parameters
    ----------
    output : the records of any format
    ids : the data set's image ids; empty if it has only names
    names : the data set's images by name
    categories : the data set's categories; the file's own take precedence
    category_of : the rule that finds a record's category
    all_images : whether the output can be of no other images: a record of an unknown one may then
        be of any of these

    Raises
    ------
    InvalidRecord
        None of the records names a known image and category: they then belong to another data
        set, and their silence here would be taken for misses.
    """

    def __init__(
        self,
        output: Output,
        *,
        ids: Collection[ImageKey],
        names: ImageNames,
        categories: Categories,
        category_of: CategoryRule = listed_category,
        all_images: bool = False,
    ) -> None:
        self.rejected: list[Rejection] = []
        file, sources = output.path, output.sources
        self._file = file
        if output.categories is not None:
            listed = categories_of(file, output.categories, self.rejected)
            categories = {**categories, **listed}
        own = _own_images(file, output.images, self.rejected)
        own_names = {key: str(image["file_name"]) for key, image in own.items()}
        self._references = ImageReferences(ids, names, sources, own_names)
        self._categories = categories
        self._category_of = category_of
        self._errors = output.errors
        unplaced: list[Rejection] = []
        self._groups: Groups = by_image(
            sources, self._references.of, unplaced, RecordKind.DETECTION
        )
        unplaced += output.rejected
        self._may_be_of_any = bool(unplaced) if all_images else may_be_of_any(unplaced)
        self.rejected += unplaced
        self._sizes = _sizes(own, names)
        if sources and names:
            self._check_use(file, len(sources))

    @classmethod
    def by_name(cls, output: Output, names: Iterable[str]) -> Self:
        """The results on a data set whose images and categories have no ids.

        Parameters
        ----------
        names : of the data set's images
        """
        images = ImageNames({name: name for name in names})
        return cls(output, ids=(), names=images, categories={}, category_of=named_category)

    def _check_use(self, file: Path, count: int) -> None:
        if not self._groups:
            first = next(
                rejection for rejection in self.rejected if rejection.kind is RecordKind.DETECTION
            )
            raise InvalidRecord(
                f"{file}: none of {count:,} results is of an image of the data set; the first:"
                f" {first.detail}. Give them the ids or file names of the ground truth's images,"
                " or list their own `images` with file_name",
                reason=first.reason,
            )
        error = None
        for source in (source for group in self._groups.values() for source in group):
            try:
                self._category(source, Counter())
            except InvalidRecord as exc:
                error = error or exc
            else:
                return
        if error is not None and error.reason != "unknown_category":
            raise InvalidRecord(
                f"{file}: no result can be read; the first: {error}", reason=error.reason
            )
        if error is not None:
            raise InvalidRecord(
                f"{file}: no result is of a known category; the first: {error}. Give them the ids"
                " or names of the ground truth's categories, or list their own `categories`",
                reason="unknown_category",
            )

    def _category(self, source: Located[Record], adjustments: Counter[Adjustment]) -> Category:
        if source.location in self._errors:
            raise self._errors[source.location]
        return self._category_of(source.value, self._categories, adjustments)

    def require_sides(self, sizes: Mapping[ImageKey, Size]) -> None:
        """Refuse results whose boxes are corners.

        Parameters
        ----------
        sizes : what the data set declares; a size that the output declares takes precedence

        Raises
        ------
        InvalidRecord
            `box_of_corners`: see `require_sides`.
        """
        require_sides(self._file, self._groups, {**sizes, **self._sizes})

    def records(self, image: ImageKey) -> list[Located[Record]]:
        """The image's raw records."""
        return self._groups.get(image, [])

    def found(
        self, image: ImageKey, size: Size | None, notes: Notes, file: Path | None = None
    ) -> Found:
        """The image's detections.

        Parameters
        ----------
        size : the image's size, if known; a size that the output declares takes precedence
        file : the image, whose size is read if relative boxes need it
        """
        own_size = self._sizes.get(image)
        known = own_size or size or self._read_size(image, file, notes)

        def parse(source: Located[Record]) -> Detection:
            category = self._category(source, notes.adjustments)
            score = fields.score(source.value.get("score"), notes.adjustments)
            bbox, mask = detected_shape(_in_pixels(source, known), known, notes)
            return fields.checked(
                Detection,
                category=category,
                score=score,
                bbox=bbox,
                mask=mask,
                **_traits(source, notes.rejected),
            )

        refused: list[Rejection] = []
        found = tuple(parsed(self.records(image), parse, refused, RecordKind.DETECTION))
        notes.rejected += refused
        notes.adjustments.update(self._references.adjustments.get(image, {}))
        unsure = self._may_be_of_any or image in self._references.ambiguous
        if found or not (refused or unsure):
            return Found(found, complete=is_complete(refused, found) and not unsure, size=own_size)
        notes.adjustments[Adjustment.NO_DETECTIONS_LEFT] += 1
        return Found(None, complete=False)

    def _read_size(self, image: ImageKey, file: Path | None, notes: Notes) -> Size | None:
        boxes = (source.value.get("bbox") for source in self.records(image))
        if file is None or not any(isinstance(box, RelativeBox) for box in boxes):
            return None
        notes.adjustments[Adjustment.SIZE_READ] += 1
        return image_size(file)


def _traits(source: Located[Record], rejected: list[Rejection]) -> dict[str, object]:
    """The track id, attributes and vector; if one is refused, the detection stays without it."""
    return {
        key: without(partial(read, source.value), source, rejected)
        for key, read in _TRAITS.items()
        if key in source.value
    }


def _in_pixels(source: Located[Record], size: Size | None) -> Located[Record]:
    """The record with its box in pixels.

    Raises
    ------
    InvalidRecord
        `unknown_size`: the box is relative to an image whose size is unknown.
    """
    box = source.value.get("bbox")
    if not isinstance(box, RelativeBox):
        return source
    if size is None:
        raise InvalidRecord(
            "the box is a fraction of an image whose size is unknown", reason="unknown_size"
        )
    return Located({**source.value, "bbox": box.in_pixels(size)}, source.location)


def _own_images(file: Path, values: object, rejected: list[Rejection]) -> dict[ImageKey, Record]:
    """The file's own named images by their ids in it; each id must have a single name."""

    def parse(source: Located[Record]) -> tuple[ImageKey, Record]:
        return fields.key(source.value.get("id")), source.value

    found: dict[ImageKey, Record] = {}
    names: dict[ImageKey, set[object]] = defaultdict(set)
    for part in parsed(located(file, "images", values), parse, rejected):
        key, image = part.value
        if isinstance(image.get("file_name"), str):
            found[key] = image
            names[key].add(image["file_name"])
    return {key: image for key, image in found.items() if len(names[key]) == 1}


def _sizes(own: Mapping[ImageKey, Record], names: ImageNames) -> dict[ImageKey, Size]:
    """The sizes that the file's own images declare, by the data set's image key."""
    sizes: dict[ImageKey, Size] = {}
    for image in own.values():
        size, image_keys = declared_size(image), names.find(str(image["file_name"]))
        if size is not None:
            sizes.update(dict.fromkeys(image_keys, size))
    return sizes
