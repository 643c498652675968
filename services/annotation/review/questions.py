"""Questions as the page shows them: what is asked, what it looks like, what was answered."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from urllib.parse import urlencode

from services.annotation.review.desk import ReviewContext
from services.annotation.review.overlay import Picture, proposed
from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Box, Category
from services.domain.detection.agreement import apart
from services.domain.ports.frames import FrameRecord
from services.runtime.stores.held_corrections import HeldCorrection, LabelAnswer, Question
from services.runtime.stores.open_questions import OpenChoice, OpenLabel

MOST_CHOICES = 500
_EXAMPLES = 6
_LATELY = 12


@dataclass(frozen=True)
class QuestionList:
    """All that is asked, in the order in which it is answered.

    Attributes
    ----------
    choices : the oldest `MOST_CHOICES` of them
    """

    labels: Sequence[OpenLabel]
    choices: Sequence[OpenChoice]

    @property
    def addresses(self) -> list[str]:
        """Where each is answered, below the page's root."""
        labels = (label_address(open_label.label) for open_label in self.labels)
        return [*labels, *(choice_address(choice.held_id) for choice in self.choices)]


@dataclass(frozen=True)
class Step:
    """Where a question is among those that are open.

    Attributes
    ----------
    number : from 1; 0 where the question is open no more
    """

    number: int
    of: int
    previous: str | None
    following: str | None


@dataclass(frozen=True)
class Example:
    """A correction that uses a label nobody knows."""

    held: HeldCorrection
    said_by: str
    boxes: int
    picture: Picture | None


@dataclass(frozen=True)
class LabelView:
    """A label nobody knows.

    Attributes
    ----------
    corrections : how many wait for it
    answer : what counts now; none where nobody has said anything
    suggested : the category whose name is most like it
    """

    label: str
    corrections: int
    answer: LabelAnswer | None
    examples: Sequence[Example]
    categories: Sequence[Category]
    suggested: Category | None

    @property
    def seen(self) -> int:
        """The version of the answer that a form was drawn with."""
        return self.answer.version if self.answer else 0


@dataclass(frozen=True)
class VersionView:
    """One version of a frame's ground truth.

    Attributes
    ----------
    annotations : each, and whether it is in this version alone; those first
    """

    said_by: str
    annotations: Sequence[tuple[Annotation, bool]]
    picture: Picture | None


@dataclass(frozen=True)
class ChoiceView:
    """Versions of which somebody must say which counts, beside what counts now."""

    held: HeldCorrection
    versions: Sequence[VersionView]
    now: VersionView | None
    revision: int | None

    @property
    def is_overtaken(self) -> bool:
        """Whether what counts now came after the annotators had begun."""
        return self.held.question is Question.OVERTAKEN


def label_address(label: str) -> str:
    """Where a label is explained."""
    return f"/questions/label?{urlencode({'name': label})}"


def choice_address(held_id: str) -> str:
    """Where a version is chosen."""
    return f"/questions/{held_id}"


def step_of(addresses: Sequence[str], address: str) -> Step:
    """The questions beside this one; one that is open no more leads back to the first."""
    if address not in addresses:
        return Step(0, len(addresses), None, addresses[0] if addresses else None)
    at = addresses.index(address)
    around = [None, *addresses, None]
    return Step(at + 1, len(addresses), around[at], around[at + 2])


def closest(label: str, categories: Collection[Category]) -> Category | None:
    """The category that is most probably meant by a misspelt label; none where none is like it."""
    by_form = {_form(category): category for category in categories}
    found = get_close_matches(_form(label), list(by_form), n=1)
    return by_form[found[0]] if found else None


async def question_list(desk: ReviewContext) -> QuestionList:
    """All that is asked.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    labels, choices = await asyncio.gather(
        desk.questions.labels(), desk.questions.choices(MOST_CHOICES)
    )
    return QuestionList(labels, choices)


async def lately(desk: ReviewContext) -> list[LabelAnswer | HeldCorrection]:
    """What was answered last, latest first."""
    answers, chosen = await asyncio.gather(
        desk.questions.lately_answered(_LATELY), desk.held.recent(_LATELY)
    )
    timed: list[tuple[datetime, LabelAnswer | HeldCorrection]] = []
    timed += [(label_answer.at, label_answer) for label_answer in answers]
    timed += [(correction.decided_at, correction) for correction in chosen if correction.decided_at]
    timed.sort(key=lambda item: item[0], reverse=True)
    return [label_answer for _, label_answer in timed[:_LATELY]]


async def label_view(desk: ReviewContext, label: str, corrections: int) -> LabelView:
    """What the page shows of a label.

    Parameters
    ----------
    corrections : how many wait for it
    """
    answers, waiting, categories = await asyncio.gather(
        desk.held.answers([label]), desk.questions.naming(label, _EXAMPLES), desk.categories.all()
    )
    frames = await desk.frames.load({correction.frame_id for correction in waiting})
    return LabelView(
        label=label,
        corrections=corrections,
        answer=answers.get(label),
        examples=[
            _example(
                label, correction, frames.get(correction.frame_id, FrameRecord(correction.frame_id))
            )
            for correction in waiting
        ],
        categories=categories,
        suggested=closest(label, categories),
    )


async def choice_view(desk: ReviewContext, held: HeldCorrection) -> ChoiceView:
    """What the page shows of versions to choose from."""
    frames = await desk.frames.load([held.frame_id])
    record = frames.get(held.frame_id, FrameRecord(held.frame_id))
    now = await desk.corrector.ground_truth(record)
    versions = [truth.annotations for truth in held.versions]
    compared = versions if len(versions) > 1 else [*versions, now.annotations if now else ()]
    asked = [apart(item, compared) for item in versions]
    around = _around(
        version[place].bbox
        for version, places in zip(versions, asked, strict=True)
        for place in places
    )
    shown = [
        _version(record, version, places, around)
        for version, places in zip(held.versions, asked, strict=True)
    ]
    current = _version(record, now, (), around) if now else None
    return ChoiceView(held, shown, current, now.revision if now else None)


def _example(label: str, held: HeldCorrection, record: FrameRecord) -> Example:
    version = next(
        truth
        for truth in held.versions
        if label in {annotation.category for annotation in truth.annotations}
    )
    asked = [n for n, item in enumerate(version.annotations) if item.category == label]
    alt = f"{label} annotated on frame {held.frame_id}"
    around = _around([version.annotations[asked[0]].bbox])
    picture = proposed(record, version, asked, alt, around)
    return Example(held, version.annotated_by or "unknown", len(asked), picture)


def _version(
    record: FrameRecord, version: FrameAnnotated, asked: Collection[int], around: Box | None
) -> VersionView:
    who = version.annotated_by or "unknown"
    marked = [(annotation, place in asked) for place, annotation in enumerate(version.annotations)]
    alt = f"frame {record.frame_id} as {who} has annotated it"
    return VersionView(
        said_by=who,
        annotations=sorted(marked, key=lambda item: not item[1]),
        picture=proposed(record, version, asked, alt, around),
    )


def _around(boxes: Iterable[Box]) -> Box | None:
    found = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    if not found:
        return None
    left, top = min(item[0] for item in found), min(item[1] for item in found)
    right, bottom = max(item[2] for item in found), max(item[3] for item in found)
    return (left, top, right - left, bottom - top)


def _form(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ")
