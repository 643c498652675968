"""The view of the list of needles: filters, order and page, all kept in the URL."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Request

from services.annotation.ports.needle_filters import NeedleFilter, Sort, Stage
from services.annotation.ports.needle_lists import NeedleGroup, ReviewWork
from services.annotation.review.guard import whole_number
from services.contracts.events import ErrorType
from services.domain.ports.needles import ReviewProgress

PAGE_SIZE = 50
_MAX_PAGES = 100_000
_MAX_LENGTH = 200
_E = TypeVar("_E", bound=StrEnum)


_LISTED = NeedleFilter(stage=Stage.LISTED)
_LEFT_WHEN_DECIDED = (Stage.TODO, Stage.OPEN, Stage.STARTED, Stage.EXTENDED)
_ANY = "any"
"""The URL's value of `stage` for needles of any stage; without a value, those with a shortlist."""


@dataclass(frozen=True)
class View:
    """Filters, order and page of a list; `View.of` and `query` are inverse.

    Attributes
    ----------
    ignored : names and values of parameters that have no meaning, for the person
    """

    wanted: NeedleFilter = _LISTED
    sort: Sort = Sort.SCORE
    page: int = 1
    ignored: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, params: Mapping[str, str]) -> "View":
        """The view that a URL's parameters name; unknown values are ignored and named."""
        texts = {
            name: value[:_MAX_LENGTH]
            for name in ("category", "true_category", "detector", "drive", "family", "tag")
            if (value := params.get(name, "").strip())
        }
        stage = params.get("stage")
        wanted = NeedleFilter(
            **texts,
            error_type=_member(ErrorType, params.get("error_type")),
            stage=None if stage == _ANY else _member(Stage, stage) or Stage.LISTED,
        )
        page = min(whole_number(params.get("page", "")) or 1, _MAX_PAGES)
        sort = _member(Sort, params.get("sort")) or Sort.SCORE
        return cls(wanted, sort, page, _ignored(params))

    def query(self, **changes: object) -> str:
        """The URL's query with its `?`; empty for the default view."""
        parts: dict[str, object] = {**asdict(self.wanted)}
        stage = self.wanted.stage
        parts["stage"] = _ANY if stage is None else None if stage is Stage.LISTED else stage
        parts["sort"] = None if self.sort is Sort.SCORE else self.sort
        parts["page"] = None if self.page == 1 else self.page
        parts |= changes
        query = {name: str(value) for name, value in parts.items() if value not in (None, "")}
        return f"?{urlencode(query)}" if query else ""

    def first_page(self) -> "View":
        """The same view, on its first page."""
        return replace(self, page=1)

    @property
    def is_queue(self) -> bool:
        """Whether needles leave the view when they are decided."""
        return self.wanted.stage in _LEFT_WHEN_DECIDED

    @property
    def passed(self) -> NeedleFilter:
        """The filter of the list that a reviewer moves in, which includes decided needles."""
        return replace(self.wanted, stage=Stage.LISTED) if self.is_queue else self.wanted

    @property
    def to_review(self) -> NeedleFilter:
        """The filter of the needles of this view that have undecided candidates."""
        return self.wanted if self.is_queue else replace(self.wanted, stage=Stage.TODO)

    @property
    def skip(self) -> int:
        """How many needles come before this page."""
        return (self.page - 1) * PAGE_SIZE

    @property
    def is_filtered(self) -> bool:
        """Whether a filter is set."""
        return self.wanted != _LISTED


async def wanted_view(request: Request) -> View:
    """The view that the request's address names."""
    return View.of(request.query_params)


WantedView = Annotated[View, Depends(wanted_view)]


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


def work(groups: Sequence[NeedleGroup], wanted: NeedleFilter) -> ReviewWork:
    """The review work of the needles that a filter selects, whatever their stage, drive and tag."""
    return sum((group.work for group in _chosen(groups, wanted)), ReviewWork())


def total(groups: Sequence[NeedleGroup], wanted: NeedleFilter) -> int | None:
    """The number of needles that a filter selects; None if the group counts cannot answer it."""
    if wanted.drive or wanted.tag:
        return None
    return sum(_count(group, wanted.stage) for group in _chosen(groups, wanted))


def _chosen(groups: Sequence[NeedleGroup], wanted: NeedleFilter) -> list[NeedleGroup]:
    names = ("category", "error_type", "true_category", "detector", "family")
    filters = {name: value for name in names if (value := getattr(wanted, name)) is not None}
    return [
        group
        for group in groups
        if all(getattr(group, name) == value for name, value in filters.items())
    ]


def _count(group: NeedleGroup, stage: Stage | None) -> int:
    """The number of needles of a group in a stage."""
    match stage:
        case None:
            return group.count
        case Stage.LISTED:
            return group.work.shortlists
        case Stage.UNLISTED:
            return group.count - group.work.shortlists
        case Stage.TODO:
            return group.work.to_review
        case Stage.DONE:
            return group.work.done if group.progress is ReviewProgress.DONE else 0
        case Stage.OPEN | Stage.STARTED | Stage.EXTENDED:
            progress = _TO_REVIEW[stage]
            return group.work.to_review if group.progress is progress else 0


_TO_REVIEW = {
    Stage.OPEN: ReviewProgress.OPEN,
    Stage.STARTED: ReviewProgress.STARTED,
    Stage.EXTENDED: ReviewProgress.DONE,
}


def _ignored(params: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The parameters whose value is none of those that their filter knows."""
    known = {
        "error_type": [*ErrorType],
        "stage": [*Stage, _ANY],
        "sort": [*Sort],
    }
    values = ((name, params.get(name, "")[:_MAX_LENGTH]) for name in known)
    return tuple((name, value) for name, value in values if value and value not in known[name])


def _member(enum: type[_E], value: str | None) -> _E | None:
    return enum(value) if value in {member.value for member in enum} else None
