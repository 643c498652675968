"""Applies answers to held corrections; pure functions."""

import hashlib
from collections.abc import Collection, Mapping, Sequence

from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Category
from services.domain.ports.held_corrections import (
    HeldCorrection,
    LabelAnswer,
    Meaning,
    Question,
)
from services.domain.ports.ledger import Entry
from services.domain.revision_conflicts import content_of
from services.ground_truth.drafts import entry_of

NONE_OF_THEM = -1
"""Value of `HeldCorrection.chosen` if none of the versions counts."""


def labels_of(versions: Sequence[FrameAnnotated]) -> set[Category]:
    """Every category in the versions."""
    return {annotation.category for version in versions for annotation in version.annotations}


def answered(draft: FrameAnnotated, answers: Mapping[str, LabelAnswer]) -> FrameAnnotated:
    """The correction with its labels replaced, kept or dropped according to the answers."""
    relabelled = (
        _relabelled(annotation, answers.get(annotation.category))
        for annotation in draft.annotations
    )
    annotations = tuple(annotation for annotation in relabelled if annotation is not None)
    return draft.model_copy(update={"annotations": annotations})


def _relabelled(annotation: Annotation, answer: LabelAnswer | None) -> Annotation | None:
    if answer is None or answer.meaning is Meaning.NEW:
        return annotation
    if answer.meaning is Meaning.NOTHING:
        return None
    return annotation.model_copy(update={"category": answer.category})


def counting(held: HeldCorrection) -> FrameAnnotated | None:
    """The version that counts; None if it is undecided, or if none counts."""
    if held.chosen == NONE_OF_THEM:
        return None
    if held.chosen is not None:
        return held.versions[held.chosen]
    return held.versions[0] if held.question is Question.UNKNOWN_CATEGORY else None


def open_labels(held: HeldCorrection, answers: Collection[str]) -> set[Category]:
    """The labels for which this correction still needs answers."""
    version = counting(held)
    relevant = [version] if version else held.versions
    return (labels_of(relevant) & set(held.unknown)) - set(answers)


def entry_of_versions(versions: Sequence[FrameAnnotated]) -> Entry:
    """The ledger entry of a correction as it was submitted, before any answer."""
    if len(versions) == 1:
        return entry_of(versions[0])
    return entry_of(versions[0])._replace(digest=held_id_of(versions, ""))


def held_id_of(versions: Sequence[FrameAnnotated], tag: str) -> str:
    """The id of a held correction: equal for equal versions of a frame with an equal tag."""
    contents = " ".join(content_of(version) for version in versions)
    return hashlib.sha256(f"{versions[0].frame_id} {contents} {tag}".encode()).hexdigest()
