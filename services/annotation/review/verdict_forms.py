"""Verdicts as forms carry them."""

from starlette.datastructures import FormData

from services.annotation.ports.reviews import VERDICTS, Act

_VERDICTS = {act.value: act for act in VERDICTS}
_MAX_NOTE_LENGTH = 500


def verdict_of(form: FormData) -> Act | None:
    """The verdict of the button that was pressed; None if the form has none."""
    return _VERDICTS.get(str(form.get("act")))


def note_of(form: FormData) -> str:
    """The comment, on one line."""
    return " ".join(str(form.get("note", "")).split())[:_MAX_NOTE_LENGTH]
