"""The sets of frames whose mAP is compared: R, H, S, H-S and all."""

from enum import StrEnum
from typing import Final

from services.contracts.events import Split

REFERENCE, SHORTLISTED, REST = range(3)
"""Every frame is in one of these three parts: a reference frame, a shortlisted haystack frame, or
one of the haystack's rest."""


class Subset(StrEnum):
    """A set of frames, made of parts."""

    ALL = "all"
    R = "R"
    H = "H"
    S = "S"
    REST = "H-S"

    @property
    def word(self) -> int:
        """The parts of the subset as a bit mask, part p as bit p."""
        return _WORDS[self]


_WORDS: Final = {
    Subset.ALL: 1 << REFERENCE | 1 << SHORTLISTED | 1 << REST,
    Subset.R: 1 << REFERENCE,
    Subset.H: 1 << SHORTLISTED | 1 << REST,
    Subset.S: 1 << SHORTLISTED,
    Subset.REST: 1 << REST,
}


def part_of(split: Split, *, shortlisted: bool) -> int:
    """The part that a frame is in; a reference frame is never part of the shortlist."""
    if split is Split.REFERENCE:
        return REFERENCE
    return SHORTLISTED if shortlisted else REST
