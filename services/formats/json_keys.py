"""JSON objects that name a key twice: readers differ in which value they take, so none is right."""

import json
from typing import Any

from services.contracts.errors import InvalidRecord


def check_keys(content: bytes | str) -> None:
    """Refuse JSON in which an object has two values for one key; what is no JSON passes.

    Raises
    ------
    InvalidRecord
        `duplicate_key`, with the key.
    """
    try:
        # Nothing is kept of an object once it is checked, so this takes little memory.
        json.loads(content, object_pairs_hook=_checked, parse_int=float)
    except RecursionError as exc:
        raise InvalidRecord("nested too deeply", reason="invalid_json") from exc
    except ValueError:  # whoever reads the content says what is wrong with it
        return


def _checked(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) == len(dict(pairs)):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            detail = f"the key {key!r:.60} stands twice in one object: leave one of them"
            raise InvalidRecord(detail, reason="duplicate_key")
        seen.add(key)
