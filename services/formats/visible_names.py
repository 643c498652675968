"""The names in what comes in: each can be seen as it is. One stage after every reader."""

from collections.abc import Iterator

from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.visible_text import escaped, hidden_character
from services.ground_truth.drafts import Draft


def check_names(draft: Draft) -> None:
    """Refuse ids and categories that hold invisible characters, and categories of blanks.

    Two such names look the same to whoever compares them, and are two. What was stored before this
    rule is still read.

    Raises
    ------
    InvalidRecord
        `hidden_character`, with the place of the character; `blank_category`.
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
        detail = f"{field} `{escaped(name):.200}` holds {hidden}, which nobody sees"
        raise InvalidRecord(detail, reason="hidden_character")
    if field == "category" and not name.strip():
        raise InvalidRecord(f"the category {name!r:.60} is blank", reason="blank_category")


def _names(draft: Draft) -> Iterator[tuple[str, str]]:
    yield "frame_id", draft.frame_id
    match draft:
        case FrameCaptured():
            yield "vehicle_id", draft.vehicle_id
            yield "drive_id", draft.drive_id or ""
        case PredictionsMade():
            yield "detector", draft.detector
            yield "version", draft.version
            for category in {detection.category for detection in draft.detections}:
                yield "category", category
        case FrameAnnotated():
            yield "annotated_by", draft.annotated_by or ""
            for category in {annotation.category for annotation in draft.annotations}:
                yield "category", category
