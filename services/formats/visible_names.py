"""Refuse names with invisible characters; every input path passes this check."""

from collections.abc import Iterator

from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.visible_text import escaped, hidden_character
from services.ground_truth.drafts import Draft


def check_names(draft: Draft) -> None:
    """Refuse ids and categories with invisible characters, and categories of blanks only.

    Such names can look identical and still differ. Events stored before this rule are still read.

    Raises
    ------
    InvalidRecord
        `hidden_character`, with the character's position; `blank_category`.
    """
    for field, name in _names(draft):
        check_name(field, name)


def check_name(field: str, name: str) -> None:
    """Refuse one name; see `check_names`.

    Raises
    ------
    InvalidRecord
        `hidden_character` or `blank_category`.
    """
    if hidden := hidden_character(name):
        detail = f"{field} `{escaped(name):.200}` contains {hidden}, which is invisible"
        raise InvalidRecord(detail, reason="hidden_character")
    if field == "category" and not name.strip():
        raise InvalidRecord(f"the category {name!r:.60} is blank", reason="blank_category")


def _names(draft: Draft) -> Iterator[tuple[str, str]]:
    yield "frame_id", draft.frame_id
    match draft:
        case FrameCaptured():
            yield "vehicle_id", draft.vehicle_id
            yield "drive_id", draft.drive_id or ""
            for key, value in (draft.tags or {}).items():
                yield "tag", f"{key}={value}"
        case PredictionsMade():
            yield "detector", draft.detector
            yield "version", draft.version
            for category in {detection.category for detection in draft.detections}:
                yield "category", category
        case FrameAnnotated():
            yield "annotated_by", draft.annotated_by or ""
            for category in {annotation.category for annotation in draft.annotations}:
                yield "category", category
