"""Which frames an export holds."""

from enum import StrEnum


class What(StrEnum):
    """Which frames."""

    SHORTLISTED = "shortlisted"
    ACCEPTED = "accepted"
    NEEDLES = "needles"
    ANNOTATED = "annotated"
