"""What the answers make of a correction; nothing here waits for anything."""

import hashlib
from collections.abc import Collection, Mapping, Sequence

from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Category
from services.domain.ports.frames import content_of
from services.domain.ports.ledger import Entry
from services.ground_truth.drafts import entry_of
from services.runtime.stores.held_corrections import (
    HeldCorrection,
    LabelAnswer,
    Meaning,
    Question,
)

NONE_OF_THEM = -1
"""Stands where a version would: none of them counts."""


def labels_of(versions: Sequence[FrameAnnotated]) -> set[Category]:
    """Every category that the versions name."""
    return {annotation.category for version in versions for annotation in version.annotations}


def answered(draft: FrameAnnotated, answers: Mapping[str, LabelAnswer]) -> FrameAnnotated:
    """The correction with its labels as the answers understand them."""
    meant = (
        _meant(annotation, answers.get(annotation.category)) for annotation in draft.annotations
    )
    kept = tuple(annotation for annotation in meant if annotation is not None)
    return draft.model_copy(update={"annotations": kept})


def _meant(annotation: Annotation, answer: LabelAnswer | None) -> Annotation | None:
    if answer is None or answer.meaning is Meaning.NEW:
        return annotation
    if answer.meaning is Meaning.NOTHING:
        return None
    return annotation.model_copy(update={"category": answer.category})


def counting(held: HeldCorrection) -> FrameAnnotated | None:
    """The version that counts; none while nobody has said which, or where none does."""
    if held.chosen == NONE_OF_THEM:
        return None
    if held.chosen is not None:
        return held.versions[held.chosen]
    return held.versions[0] if held.question is Question.UNKNOWN_CATEGORY else None


def open_labels(held: HeldCorrection, answers: Collection[str]) -> set[Category]:
    """The labels that this correction still waits for."""
    version = counting(held)
    relevant = [version] if version else held.versions
    return (labels_of(relevant) & set(held.unknown)) - set(answers)


def said_entry(versions: Sequence[FrameAnnotated]) -> Entry:
    """What the ledger knows a correction by, before anything is answered about it."""
    if len(versions) == 1:
        return entry_of(versions[0])
    return entry_of(versions[0])._replace(digest=held_id_of(versions, ""))


def held_id_of(versions: Sequence[FrameAnnotated], tag: str) -> str:
    """The same id whenever the same comes again from the same place."""
    contents = " ".join(content_of(version) for version in versions)
    return hashlib.sha256(f"{versions[0].frame_id} {contents} {tag}".encode()).hexdigest()
