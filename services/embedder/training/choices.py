"""What a user chooses of a training; imports no library, so that help is fast."""

from enum import StrEnum


class Looked(StrEnum):
    """What an example shows."""

    CROPS = "crops"
    """One annotated object."""
    FRAMES = "frames"
    """A whole frame."""


class LabelRule(StrEnum):
    """Which of its objects' categories becomes a frame's label."""

    MOST_FREQUENT = "most-frequent"
    """Report 2's rule; among equally frequent categories, the one with the larger area."""
    LARGEST = "largest"


class Start(StrEnum):
    """The initial weights."""

    RANDOM = "random"
    WEIGHTS = "weights"
    """The weights in the settings, else the backbone's own."""
