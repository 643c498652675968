"""A network's file, read only where it is the one that is meant."""

import hashlib
from pathlib import Path

from services.contracts.errors import Fatal


def checked_content(path: Path, sha256: str, what: str, error: type[Fatal]) -> bytes:
    """What is in a file.

    Parameters
    ----------
    sha256 : of the file, in hexadecimal; empty: any
    what : is to be in it, for the message
    error : where it cannot be read, or is another one
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise error(f"no {what} at {path}: {exc.strerror}") from exc
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256.lower():
        raise error(f"{path} has the sha256 {found}, not {sha256}")
    return content
