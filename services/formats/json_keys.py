"""Refuse JSON objects with duplicate keys, because parsers differ in which value they use."""

import json
from typing import Any

from services.contracts.errors import InvalidRecord


def check_keys(content: bytes | str) -> None:
    """Refuse JSON in which an object repeats a key; content that is not JSON passes.

    Raises
    ------
    InvalidRecord
        `duplicate_key`, with the key.
    """
    try:
        # The hook keeps nothing of a checked object, so this takes little memory.
        json.loads(content, object_pairs_hook=_checked, parse_int=float)
    except RecursionError as exc:
        raise InvalidRecord("nested too deeply", reason="invalid_json") from exc
    except ValueError:  # the parser that reads the content reports the error
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
