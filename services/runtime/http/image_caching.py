"""How long browsers may keep images of frames."""

from typing import Final

_KEPT: Final = "private, max-age=86400"
"""A day: from then on browsers ask again, should regions be redacted since."""
_REVALIDATED: Final = "private, no-cache"
"""Where regions are redacted: a later prediction may find more of them."""


def cache_control(*, redacts: bool) -> str:
    """The header `Cache-Control` of an image.

    Parameters
    ----------
    redacts : whether regions are redacted
    """
    return _REVALIDATED if redacts else _KEPT
