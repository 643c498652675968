"""The data of the questions' pages: open questions, examples, latest answers."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from urllib.parse import urlencode

from services.annotation.ports.open_questions import OpenChoice, OpenLabel
from services.annotation.review.context import ReviewContext
from services.annotation.review.overlay import Picture, proposed
from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Box, Category
from services.domain.detection.agreement import apart
from services.domain.ports.frames import FrameRecord
from services.domain.ports.held_corrections import HeldCorrection, LabelAnswer, Question

MAX_CHOICES = 500
_EXAMPLES = 6
_LATEST = 12


@dataclass(frozen=True)
class QuestionList:
    """All open questions, in the order in which the page shows them.

    Attributes
    ----------
    choices : the oldest `MAX_CHOICES` of them
    """

    labels: Sequence[OpenLabel]
    choices: Sequence[OpenChoice]

    @property
    def addresses(self) -> list[str]:
        """The address of each question, relative to the page's root."""
        labels = (label_address(open_label.label) for open_label in self.labels)
        return [*labels, *(choice_address(choice.held_id) for choice in self.choices)]


@dataclass(frozen=True)
class Step:
    """The position of a question among the open ones.

    Attributes
    ----------
    number : from 1; 0 if the question is no longer open
    """

    number: int
    of: int
    previous: str | None
    following: str | None


@dataclass(frozen=True)
class Example:
    """A correction that uses an unknown label."""

    held: HeldCorrection
    annotator: str
    boxes: int
    picture: Picture | None


@dataclass(frozen=True)
class LabelView:
    """An unknown label.

    Attributes
    ----------
    corrections : the number of corrections that wait for it
    answer : the answer in force; None if there is none
    suggested : the category with the most similar name
    """

    label: str
    corrections: int
    answer: LabelAnswer | None
    examples: Sequence[Example]
    categories: Sequence[Category]
    suggested: Category | None

    @property
    def seen(self) -> int:
        """The version of the answer that the form was rendered with."""
        return self.answer.version if self.answer else 0


@dataclass(frozen=True)
class VersionView:
    """One version of a frame's ground truth.

    Attributes
    ----------
    annotations : every annotation with whether only this version has it; those come first
    """

    annotator: str
    annotations: Sequence[tuple[Annotation, bool]]
    picture: Picture | None


@dataclass(frozen=True)
class ChoiceView:
    """Versions of a frame's ground truth to choose from, and the current one."""

    held: HeldCorrection
    versions: Sequence[VersionView]
    now: VersionView | None
    revision: int | None

    @property
    def is_overtaken(self) -> bool:
        """Whether the ground truth has changed since the annotators began."""
        return self.held.question is Question.OVERTAKEN


def label_address(label: str) -> str:
    """The address of a label's question."""
    return f"/questions/label?{urlencode({'name': label})}"


def choice_address(held_id: str) -> str:
    """The address of a choice between versions."""
    return f"/questions/{held_id}"


def step_of(addresses: Sequence[str], address: str) -> Step:
    """The neighbours of a question; a question that is no longer open leads to the first."""
    if address not in addresses:
        return Step(0, len(addresses), None, addresses[0] if addresses else None)
    at = addresses.index(address)
    around = [None, *addresses, None]
    return Step(at + 1, len(addresses), around[at], around[at + 2])


def closest(label: str, categories: Collection[Category]) -> Category | None:
    """The category that a misspelt label most probably means; None if none is similar."""
    by_form = {_form(category): category for category in categories}
    found = get_close_matches(_form(label), list(by_form), n=1)
    return by_form[found[0]] if found else None


async def question_list(context: ReviewContext) -> QuestionList:
    """All open questions.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    labels, choices = await asyncio.gather(
        context.stores.questions.labels(), context.stores.questions.choices(MAX_CHOICES)
    )
    return QuestionList(labels, choices)


QUESTION_COLUMNS = ("question", "label_or_frame", "corrections", "annotators", "origin", "since")


async def question_rows(context: ReviewContext) -> AsyncIterator[tuple[object, ...]]:
    """All open questions as the lines of a table, in the order of the page, which shows fewer."""
    for label in await context.stores.questions.labels():
        since = label.since.isoformat()
        yield "unknown label", label.label, label.corrections, None, None, since
    last = None
    while choices := await context.stores.questions.choices(MAX_CHOICES, after=last):
        for choice in choices:
            yield (
                *(choice.question.value, choice.frame_id, 1, ", ".join(choice.annotators)),
                *(choice.origin or None, choice.since.isoformat()),
            )
        last = choices[-1]


async def latest_answers(context: ReviewContext) -> list[LabelAnswer | HeldCorrection]:
    """The latest answers, latest first."""
    answers, chosen = await asyncio.gather(
        context.stores.questions.lately_answered(_LATEST), context.stores.held.recent(_LATEST)
    )
    timed: list[tuple[datetime, LabelAnswer | HeldCorrection]] = []
    timed += [(label_answer.at, label_answer) for label_answer in answers]
    timed += [(correction.decided_at, correction) for correction in chosen if correction.decided_at]
    timed.sort(key=lambda item: item[0], reverse=True)
    return [label_answer for _, label_answer in timed[:_LATEST]]


async def label_view(context: ReviewContext, label: str, corrections: int) -> LabelView:
    """The data of a label's question.

    Parameters
    ----------
    corrections : the number of corrections that wait for it
    """
    answers, waiting, categories = await asyncio.gather(
        context.stores.held.answers([label]),
        context.stores.questions.naming(label, _EXAMPLES),
        context.stores.categories.all(),
    )
    frames = await context.stores.frames.load({correction.frame_id for correction in waiting})
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


async def choice_view(context: ReviewContext, held: HeldCorrection) -> ChoiceView:
    """The data of a choice between versions."""
    frames = await context.stores.frames.load([held.frame_id])
    record = frames.get(held.frame_id, FrameRecord(held.frame_id))
    now = await context.corrector.ground_truth(record)
    versions = [truth.annotations for truth in held.versions]
    compared = versions if len(versions) > 1 else [*versions, now.annotations if now else ()]
    different = [apart(item, compared) for item in versions]
    around = _around(
        version[index].bbox
        for version, indices in zip(versions, different, strict=True)
        for index in indices
    )
    shown = [
        _version(record, version, indices, around)
        for version, indices in zip(held.versions, different, strict=True)
    ]
    current = _version(record, now, (), around) if now else None
    return ChoiceView(held, shown, current, now.revision if now else None)


def _example(label: str, held: HeldCorrection, record: FrameRecord) -> Example:
    version = next(
        truth
        for truth in held.versions
        if label in {annotation.category for annotation in truth.annotations}
    )
    labelled = [n for n, item in enumerate(version.annotations) if item.category == label]
    alt = f"{label} annotated on frame {held.frame_id}"
    around = _around([version.annotations[labelled[0]].bbox])
    picture = proposed(record, version, labelled, alt, around)
    return Example(held, version.annotated_by or "unknown", len(labelled), picture)


def _version(
    record: FrameRecord, version: FrameAnnotated, different: Collection[int], around: Box | None
) -> VersionView:
    who = version.annotated_by or "unknown"
    marked = [
        (annotation, index in different) for index, annotation in enumerate(version.annotations)
    ]
    alt = f"frame {record.frame_id} as annotated by {who}"
    return VersionView(
        annotator=who,
        annotations=sorted(marked, key=lambda item: not item[1]),
        picture=proposed(record, version, different, alt, around),
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
