"""A check's finding: severity, description and remedy."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    part : kafka, mongodb, redaction, vectors, blobs, embedder, settings, webhooks, label_studio or
        cvat
    remedy : what to do; empty if nothing is wrong
    """

    level: Level
    part: str
    what: str
    remedy: str = ""


LITTLE_SPACE = 0.1
"""Free share of a disk below which to warn; the same as in the alerts."""
NO_SPACE = 0.03


def space(part: str, where: str, free: float, remedy: str) -> list[Finding]:
    """A finding if a disk is almost full, else none.

    Parameters
    ----------
    free : free share of the disk
    """
    if free >= LITTLE_SPACE:
        return []
    level = Level.ERROR if free < NO_SPACE else Level.WARNING
    return [Finding(level, part, f"{where} has {free:.0%} of its disk left", remedy)]
