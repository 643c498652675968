"""The kinds of label errors, apart from what finds them: `--help` lists them without numpy."""

from enum import StrEnum


class LabelError(StrEnum):
    """What is wrong with ground truth."""

    MISSING = "missing"
    CATEGORY = "category"
    PLACEMENT = "placement"
