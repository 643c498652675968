"""The choices of frames to export."""

from enum import StrEnum


class What(StrEnum):
    """The frames to export."""

    SHORTLISTED = "shortlisted"
    ACCEPTED = "accepted"
    DRAWN = "drawn"
    """Those on shortlists because they were drawn by chance."""
    NEEDLES = "needles"
    ANNOTATED = "annotated"
