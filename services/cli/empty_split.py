"""Warn if a data set leaves the reference or the haystack empty, with a remedy."""

from collections import Counter
from collections.abc import Iterable

from services.contracts.events import Split
from services.formats.items import FrameItem
from services.runtime.settings import Settings

_USE = {
    Split.REFERENCE: "no needle can be found",
    Split.HAYSTACK: "nothing can be retrieved",
}
_BY_FRAME = "set GAZELOOP_SPLIT_BY=frame"
_SHARE = "set another GAZELOOP_REFERENCE_SHARE or GAZELOOP_SPLIT_SEED"


def empty_split(items: Iterable[FrameItem], settings: Settings) -> str | None:
    """A warning if all frames of a data set are on one side of the split; else None."""
    frames = list(items)
    rule = settings.split_rule
    sides: Counter[Split] = Counter(rule.split_of(item.frame_id, item.drive_id) for item in frames)
    if len(sides) != 1:
        return None
    (full,) = sides
    empty = Split.HAYSTACK if full is Split.REFERENCE else Split.REFERENCE
    drives = {frame.drive_id for frame in frames}
    by_drive = settings.split_by == "drive" and None not in drives
    where = f" of {len(drives):,} drives" if by_drive else ""
    remedy = f"{_SHARE}"
    if by_drive:
        where = f" of one drive ({next(iter(drives))})" if len(drives) == 1 else where
        remedy = f"{_BY_FRAME}, or {_SHARE}" if len(drives) > 1 else _BY_FRAME
    return (
        f"The {empty.value} is empty, so {_USE[empty]}: all {len(frames):,} frames{where} are in"
        f" the {full.value}. On a new data folder, {remedy}."
    )
