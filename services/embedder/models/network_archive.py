"""A network's file: an uncompressed zip of its parts and their card."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from services.contracts.errors import Fatal

CARD: Final = "card.json"
"""The name of the card in the file."""


def packed(parts: Mapping[str, bytes]) -> bytes:
    """These parts by name as one file; equal parts give equal bytes."""
    file = BytesIO()
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(ZipInfo(name), content)
    return file.getvalue()


def unpacked(path: Path, content: bytes, part: str, error: type[Fatal]) -> dict[str, bytes]:
    """The parts of a file by name; the inverse of `packed`.

    Parameters
    ----------
    part : what the file should be, for the message
    error : raised if it is no such file
    """
    try:
        with ZipFile(BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (BadZipFile, LookupError, NotImplementedError, RuntimeError) as exc:
        raise error(f"{path} is damaged, or no {part}: {exc}") from exc
