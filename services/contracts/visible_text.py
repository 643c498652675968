"""Characters that names may not contain: invisible ones, and those that reorder text.

Two ids that differ only in such a character look the same to a reader.
"""

import re
from typing import Final

HIDDEN: Final = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
)
"""For a regular expression's character class: control, bidi, zero-width and filler characters.

Python and JSON Schema (ECMA-262) read these escapes alike.
"""

_HIDDEN = re.compile(f"[{HIDDEN}\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]")


def hidden_character(text: str) -> str | None:
    """The first forbidden character, such as `U+202E`; None if there is none."""
    found = _HIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def escaped(text: str) -> str:
    r"""The text with each forbidden character escaped, such as `\u202e`."""
    return _HIDDEN.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  # of \u
