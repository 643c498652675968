"""Image files with metadata."""

import io
from typing import Any

from PIL import Image

PHOTO, GPS = 0x8769, 0x8825
"""EXIF's tags of its two inner directories."""
BERLIN = {1: "N", 2: (52.0, 30.0, 59.04), 3: "E", 4: (13.0, 22.0, 39.36)}


def picture(exif: dict[int, Any] | None = None, *, xmp: str = "", kind: str = "JPEG") -> bytes:
    written, file = Image.Exif(), io.BytesIO()
    for tag, value in (exif or {}).items():
        if isinstance(value, dict):
            written.get_ifd(tag).update(value)
        else:
            written[tag] = value
    options = {"xmp": xmp.encode()} if xmp else {}
    Image.new("RGB", (64, 48)).save(file, kind, exif=written, **options)
    return file.getvalue()
