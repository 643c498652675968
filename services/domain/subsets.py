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
    def parts(self) -> tuple[int, ...]:
        return _PARTS[self]


_PARTS: Final = {
    Subset.ALL: (REFERENCE, SHORTLISTED, REST),
    Subset.R: (REFERENCE,),
    Subset.H: (SHORTLISTED, REST),
    Subset.S: (SHORTLISTED,),
    Subset.REST: (REST,),
}


def part_of(split: Split, *, shortlisted: bool) -> int:
    """The part that a frame is in; a reference frame is never part of the shortlist."""
    if split is Split.REFERENCE:
        return REFERENCE
    return SHORTLISTED if shortlisted else REST
