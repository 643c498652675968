"""The view of the list of needles: filters, order and page, all kept in the URL."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from services.annotation.ports.needle_filters import NeedleFilter, Sort, Stage
from services.annotation.ports.needle_lists import NeedleGroup
from services.contracts.events import ErrorType
from services.domain.ports.needles import ReviewProgress

PAGE_SIZE = 50
_MOST_PAGES = 100_000
_LONGEST = 200
_E = TypeVar("_E", bound=StrEnum)


_EVERY = NeedleFilter()
_BY_DOCUMENT = (Stage.TODO, Stage.DONE, Stage.EXTENDED)
"""Stages that depend on the shortlist too, so the group counts cannot answer for them."""


@dataclass(frozen=True)
class View:
    """Filters, order and page of a list; `View.of` and `query` are inverse."""

    wanted: NeedleFilter = _EVERY
    sort: Sort = Sort.SCORE
    page: int = 1

    @classmethod
    def of(cls, params: Mapping[str, str]) -> "View":
        """The view that a URL's parameters name; invalid values are ignored."""
        texts = {
            name: value[:_LONGEST]
            for name in ("category", "true_category", "detector", "drive", "family")
            if (value := params.get(name, "").strip())
        }
        wanted = NeedleFilter(
            **texts,
            error_type=_member(ErrorType, params.get("error_type")),
            stage=_member(Stage, params.get("stage")),
        )
        page = params.get("page", "1")
        number = min(int(page), _MOST_PAGES) if page.isascii() and page.isdigit() else 1
        return cls(wanted, _member(Sort, params.get("sort")) or Sort.SCORE, max(1, number))

    def query(self, **changes: object) -> str:
        """The URL's query with its `?`; empty for the default view."""
        parts: dict[str, object] = {**asdict(self.wanted)}
        parts["sort"] = None if self.sort is Sort.SCORE else self.sort
        parts["page"] = None if self.page == 1 else self.page
        parts |= changes
        given = {name: str(value) for name, value in parts.items() if value not in (None, "")}
        return f"?{urlencode(given)}" if given else ""

    def first_page(self) -> "View":
        """The same view, on its first page."""
        return replace(self, page=1)

    @property
    def skip(self) -> int:
        """How many needles come before this page."""
        return (self.page - 1) * PAGE_SIZE

    @property
    def is_filtered(self) -> bool:
        """Whether a filter is set."""
        return self.wanted != _EVERY


@dataclass(frozen=True)
class Choice:
    """One value of a filter, with its number of needles."""

    value: str
    count: int


def choices(groups: Sequence[NeedleGroup]) -> dict[str, list[Choice]]:
    """The values that each filter may take, the most frequent first."""
    counts: dict[str, dict[str, int]] = {"category": {}, "error_type": {}, "detector": {}}
    for group in groups:
        values = {"category": group.category, "error_type": group.error_type.value}
        for name, value in {**values, "detector": group.detector}.items():
            counts[name][value] = counts[name].get(value, 0) + group.count
    return {
        name: [
            Choice(*item) for item in sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
        ]
        for name, found in counts.items()
    }


def total(groups: Sequence[NeedleGroup], view: View) -> int | None:
    """The number of needles in the view; None if the group counts cannot answer it."""
    wanted = view.wanted
    if wanted.drive or wanted.family or wanted.stage in _BY_DOCUMENT:
        return None
    filters = {
        "category": wanted.category,
        "error_type": wanted.error_type,
        "true_category": wanted.true_category,
        "detector": wanted.detector,
        "progress": wanted.stage and ReviewProgress(wanted.stage.value),
    }
    return sum(
        group.count
        for group in groups
        if all(value is None or getattr(group, name) == value for name, value in filters.items())
    )


def _member(enum: type[_E], value: str | None) -> _E | None:
    return enum(value) if value in {member.value for member in enum} else None
