"""Writes a network's file with a card that describes it."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from services.runtime.embedded.private_folder import as_the_user_writes


def write_with_card(target: Path, content: bytes, card: Mapping[str, object]) -> Path:
    """Write a network and, next to it, its card as JSON; returns the card's path.

    Parameters
    ----------
    target : the network's file; missing folders are created
    """
    path = target.with_suffix(".json")
    with as_the_user_writes():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        path.write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path
