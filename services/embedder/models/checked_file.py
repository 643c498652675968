"""Reads a network's file and checks its sha256."""

import hashlib
from pathlib import Path

from services.contracts.errors import Fatal


def checked_content(path: Path, sha256: str, name: str, error: type[Fatal]) -> bytes:
    """The content of a file.

    Parameters
    ----------
    sha256 : expected sha256 in hexadecimal; empty for any
    name : what the file contains, for the message
    error : raised if the file cannot be read or has another sha256
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise error(f"no {name} at {path}: {exc.strerror}") from exc
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256.lower():
        raise error(f"{path} has the sha256 {found}, not {sha256}")
    return content
