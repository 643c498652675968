"""Read whole JSON files from other tools, with NaN, invalid text and deep nesting."""

import json
from pathlib import Path
from typing import Any

import orjson

from services.contracts.errors import InvalidRecord
from services.formats.json_keys import check_keys


def read_json(path: Path) -> Any:
    """The file's value. NaN and Infinity, which are not JSON, are accepted as in Python.

    Raises
    ------
    InvalidRecord
        `unreadable_file`, `invalid_json`, with the line, or `duplicate_key`.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise InvalidRecord(f"{path}: {exc.strerror}", reason="unreadable_file") from exc
    try:
        return parse_json(content)
    except InvalidRecord as exc:
        raise InvalidRecord(f"{path}:{exc}", reason=exc.reason) from exc


def parse_json(content: bytes) -> Any:
    """The JSON value of these bytes.

    Raises
    ------
    InvalidRecord
        `invalid_json`, its message starting with the line number; or `duplicate_key`, without one.
    """
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        # The slower parser accepts what some tools write: NaN, a byte order mark, UTF-16.
        found = _parse_leniently(content)
    try:
        check_keys(content)
    except InvalidRecord as exc:
        raise InvalidRecord(f" {exc}", reason=exc.reason) from exc
    return found


def _parse_leniently(content: bytes) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as exc:
        detail = f"not JSON: {exc.msg} (column {exc.colno})" if content.strip() else "empty file"
        raise InvalidRecord(f"{exc.lineno}: {detail}", reason="invalid_json") from exc
    except RecursionError as exc:
        raise InvalidRecord("1: nested too deeply", reason="invalid_json") from exc
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise InvalidRecord(f"{line}: not UTF-8", reason="invalid_json") from exc
    except ValueError as exc:  # a number with thousands of digits
        raise InvalidRecord(f"1: {exc}", reason="invalid_json") from exc
