"""The categories that records name, by name or by an id that their file lists."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Category
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.fields import Record
from services.formats.items import Located, Rejection
from services.formats.readers.image_names import other_form
from services.formats.readers.records import ImageKey, claim, located, parsed
from services.formats.visible_names import check_name

Categories = Mapping[ImageKey, frozenset[Category]]
"""Names by id; several where a file gives one id to several."""
CategoryRule = Callable[[Record, Categories, Counter[Adjustment]], Category]
"""Returns the category that a record names; counts its assumptions as adjustments."""


def categories_of(
    file: Path, values: object, rejected: list[Rejection]
) -> dict[ImageKey, frozenset[Category]]:
    """Names by id from COCO's `categories`.

    An id that comes twice is refused, and with two names it means neither: nothing tells which one
    a record that has it is of.
    """
    seen: set[ImageKey] = set()
    names: dict[ImageKey, set[Category]] = defaultdict(set)

    def parse(source: Located[Record]) -> None:
        key, name = fields.key(source.value.get("id")), category_name(source.value.get("name"))
        names[key].add(name)
        claim(key, seen)

    parsed(located(file, "categories", values), parse, rejected)
    return {key: frozenset(found) for key, found in names.items()}


def category_name(value: object) -> Category:
    """A category's name.

    Raises
    ------
    InvalidRecord
        `unknown_category`: it is not a string, is empty or too long. `hidden_character`,
        `blank_category`.
    """
    if isinstance(value, str) and value:
        check_name("category", value)
    if isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable():  # noqa: PLR2004  # the contract's limit
        return Category(value)
    raise InvalidRecord(f"{value!r:.60} is not a category's name", reason="unknown_category")


def listed_category(
    record: Record, categories: Categories, adjustments: Counter[Adjustment]
) -> Category:
    """The category that a record names by its name or its id.

    If it has both, the name counts, because ids differ between tools.

    Raises
    ------
    InvalidRecord
        `unknown_category`: the data set does not have it, or an id may mean two.
    """
    name = _name(record)
    named = Category(name) if isinstance(name, str) and _is_listed(name, categories) else None
    category_id = record.get("category_id", name)
    found = _by_id(fields.key(category_id), categories) if "category_id" in record else set()
    if named is not None:
        if found and named not in found:
            adjustments[Adjustment.CATEGORY_BY_NAME] += 1
        return named
    if len(found) != 1:
        subject = f"{len(found)} categories are" if found else "no category is"
        raise InvalidRecord(f"{subject} listed as {category_id!r:.60}", reason="unknown_category")
    return found.pop()


def _by_id(key: ImageKey, categories: Categories) -> set[Category]:
    """The categories that an id may mean: the exact match, or else its other form."""
    if key in categories:
        return set(categories[key])
    other = other_form(key)
    found = set(categories.get(other, ())) if other is not None else set[Category]()
    return found | (
        {Category(key)} if isinstance(key, str) and _is_listed(key, categories) else set()
    )


def _is_listed(name: str, categories: Categories) -> bool:
    return any(name in names for names in categories.values())


def named_category(
    record: Record, categories: Categories, adjustments: Counter[Adjustment]
) -> Category:
    """The category that a record names by an id that the results file lists, or else by name.

    Raises
    ------
    InvalidRecord
        `unknown_category`: an id that the file does not list, or no name.
    """
    key, name = record.get("category_id"), _name(record)
    is_listed = isinstance(key, str) and bool(_by_id(key, categories))
    if is_listed or (isinstance(key, int | float) and not isinstance(name, str)):
        return listed_category(record, categories, adjustments)
    return category_name(key if isinstance(key, str) else name)


def _name(record: Record) -> object:
    return record.get("category_name", record.get("category"))
