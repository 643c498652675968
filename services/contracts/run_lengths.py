"""COCO's compressed run lengths: read here with checks, before native code reads them without."""

import re
from functools import lru_cache
from typing import Final

INVALID_MASK: Final = "invalid_mask"
MAX_PIXELS: Final = 2**32
"""Native code counts pixels in 32 bits."""
_MORE, _LAST = "P-o", "0-O"
"""Characters hold five bits each, from 48 on; those of `_MORE` say that the number goes on."""
_NUMBER: Final = re.compile(f"[{_MORE}]{{0,12}}[{_LAST}]")
_NUMBERS: Final = re.compile(f"(?:{_NUMBER.pattern})*")


def run_lengths(counts: str) -> list[int]:
    """The lengths of a mask's runs, column by column, of background and object in turn.

    Raises
    ------
    ValueError
        These are not COCO's run lengths.

    References
    ----------
    `rleFrString` in cocodataset/cocoapi, common/maskApi.c, which reads beyond a string that ends
    within a number
    """
    if not _NUMBERS.fullmatch(counts):
        raise ValueError("counts are not COCO's run lengths")
    runs: list[int] = []
    for number in map(_decoded, _NUMBER.findall(counts)):
        # From the fourth on, the difference to the run before the last.
        runs.append(number + runs[-2] if len(runs) > 2 else number)  # noqa: PLR2004
    if runs and not 0 <= min(runs) <= max(runs) < MAX_PIXELS:
        raise ValueError("counts are not run lengths")
    return runs


@lru_cache(maxsize=4096)
def _decoded(number: str) -> int:
    digits = [ord(character) - 48 for character in number]
    value = sum((digit & 31) << 5 * place for place, digit in enumerate(digits))
    return value - (1 << 5 * len(digits)) if digits[-1] & 16 else value
