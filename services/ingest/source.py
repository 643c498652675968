"""The origin of a data set; imports no library, so that help is fast."""

from enum import StrEnum

from services.contracts.events import REANNOTATION_SOURCE


class Source(StrEnum):
    """The origin of a data set."""

    IMPORT = "import"
    REANNOTATION = REANNOTATION_SOURCE
    """Corrections: only ground truth is published, and only of known frames."""
