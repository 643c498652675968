"""The choices of frames to export."""

from enum import StrEnum


class What(StrEnum):
    """The frames to export."""

    SHORTLISTED = "shortlisted"
    ACCEPTED = "accepted"
    NEEDLES = "needles"
    ANNOTATED = "annotated"
