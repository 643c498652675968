"""Detectors' results in COCO's form: a list, or an object that also has categories and images."""

from collections import Counter
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import NamedTuple

from services.contracts.errors import InvalidRecord
from services.contracts.events import Detection, Rle
from services.contracts.identity import Box, Category
from services.ingest import fields, masks
from services.ingest.adjustments import Adjustment
from services.ingest.fields import Record
from services.ingest.importers.records import (
    Groups,
    ImageKey,
    by_image,
    claim,
    hide_nothing,
    located,
    parsed,
    without,
)
from services.ingest.items import Located, RecordKind, Rejection
from services.ingest.json_files import read_json

Categories = Mapping[ImageKey, Category]


def categories_of(
    file: Path, values: object, rejected: list[Rejection]
) -> dict[ImageKey, Category]:
    """Names by id from COCO's `categories`; of two with one id, the first counts."""
    seen: set[ImageKey] = set()

    def parse(source: Located[Record]) -> tuple[ImageKey, Category]:
        key, name = fields.key(source.value.get("id")), category_name(source.value.get("name"))
        claim(key, seen)
        return key, name

    return dict(each.value for each in parsed(located(file, "categories", values), parse, rejected))


def category_name(value: object) -> Category:
    """A category's name.

    Raises
    ------
    InvalidRecord
        `unknown_category`: it is not a text, empty, too long, or holds control characters.
    """
    if isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable():  # noqa: PLR2004  # the contract's limit
        return Category(value)
    raise InvalidRecord(f"{value!r:.60} is not a category's name", reason="unknown_category")


def listed_category(record: Record, categories: Categories) -> Category:
    """The category that a record names by id, or by name where it has no id.

    Raises
    ------
    InvalidRecord
        `unknown_category`: the data set has none such.
    """
    name = _name(record)
    if "category_id" in record:
        found = categories.get(fields.key(record["category_id"]))
    else:
        found = next((each for each in categories.values() if each == name), None)
    if found is None:
        given = record.get("category_id", name)
        raise InvalidRecord(f"no category {given!r:.60} is listed", reason="unknown_category")
    return found


def named_category(record: Record, categories: Categories) -> Category:
    """The category that a record names by an id that the results list, or else by any name.

    Raises
    ------
    InvalidRecord
        `unknown_category`: a number that nothing explains, or no name.
    """
    key = record.get("category_id")
    if isinstance(key, int | float):
        return listed_category(record, categories)
    return category_name(key if isinstance(key, str) else _name(record))


def _name(record: Record) -> object:
    return record.get("category_name", record.get("category"))


class Found(NamedTuple):
    """What a detector found in one image.

    Attributes
    ----------
    detections : none where all of them were refused, which says nothing of the detector
    complete : whether no refused detection may stand for something
    adjustments : what was repaired, and that no detections are left, where it is so
    """

    detections: tuple[Located[Detection], ...] | None
    complete: bool
    adjustments: Counter[Adjustment]


NOT_LOOKED = Found(None, complete=True, adjustments=Counter())
"""What a detector found where it did not look."""


class Results:
    """One results file, its records in groups by image.

    Parameters
    ----------
    image_of : the key of a record's image
    known : the keys of the data set's images
    categories : the data set's; a file's own come before them
    category_of : the category that a record names
    """

    def __init__(
        self,
        file: Path,
        *,
        image_of: Callable[[Record], ImageKey],
        known: Container[ImageKey],
        categories: Categories,
        category_of: Callable[[Record, Categories], Category] = listed_category,
    ) -> None:
        content = read_json(file)
        self.rejected: list[Rejection] = []
        if isinstance(content, dict):
            own = categories_of(file, content.get("categories", []), self.rejected)
            categories = {**categories, **own}
            name = "annotations" if "annotations" in content else "predictions"
            sources = located(file, name, content.get(name))
        else:
            sources = located(file, "", content)
        self._categories = categories
        self._category_of = category_of
        self._groups: Groups = by_image(
            sources, image_of, known, self.rejected, RecordKind.DETECTION
        )

    def records(self, image: ImageKey) -> list[Located[Record]]:
        """The image's records as they are in the file."""
        return self._groups.get(image, [])

    def detections(
        self, image: ImageKey, size: tuple[int, int] | None, rejected: list[Rejection]
    ) -> Found:
        """The image's detections; refused records are added to `rejected`."""

        def parse(source: Located[Record]) -> Detection:
            record = source.value
            category = self._category_of(record, self._categories)
            score = fields.score(record.get("score"))
            bbox, mask = box_and_mask(source, size, rejected)
            return fields.checked(Detection, category=category, score=score, bbox=bbox, mask=mask)

        refused: list[Rejection] = []
        adjustments: Counter[Adjustment] = Counter()
        found = tuple(parsed(self.records(image), parse, refused, RecordKind.DETECTION))
        rejected += refused
        if found or not refused:
            return Found(found, hide_nothing(refused), adjustments)
        adjustments[Adjustment.NO_DETECTIONS_LEFT] += 1
        return Found(None, complete=False, adjustments=adjustments)


def box_and_mask(
    source: Located[Record], size: tuple[int, int] | None, rejected: list[Rejection]
) -> tuple[Box, Rle | None]:
    """A record's box, around its mask where it has none, and its mask.

    A record with a box keeps it when its mask is refused: what counts is the box.

    Raises
    ------
    InvalidRecord
        There is no box, or one that cannot be.
    """
    given, segmentation = source.value.get("bbox"), source.value.get("segmentation")
    if given is None:
        shape = masks.from_coco(segmentation, size)
        return (shape.bbox, shape.mask) if shape else (fields.box(given), None)
    bbox = fields.box(given)
    shape = without(lambda: masks.from_coco(segmentation, size), source, rejected)
    return bbox, shape and shape.mask
