"""What was looked at, how bad it is, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    part : kafka, mongodb, vectors, blobs, embedder, settings, webhooks, label_studio or cvat
    remedy : what to do, where something is to be done
    """

    level: Level
    part: str
    what: str
    remedy: str = ""


LITTLE_SPACE = 0.1
"""Share of a disk that is free, below which somebody should do something: as in the alerts."""
NO_SPACE = 0.03


def space(part: str, where: str, free: float, remedy: str) -> list[Finding]:
    """Nothing, or that a disk is almost full.

    Parameters
    ----------
    free : share of the disk that is
    """
    if free >= LITTLE_SPACE:
        return []
    level = Level.ERROR if free < NO_SPACE else Level.WARNING
    return [Finding(level, part, f"{where} has {free:.0%} of its disk left", remedy)]
