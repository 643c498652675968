"""Style sheet, scripts and icon of the page, served from memory.

Pages name a file with its content's tag, so that a browser keeps it for good and asks for none of
them when it opens the next page.
"""

import gzip
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path
from typing import Self

from fastapi import Request, Response

_FOR_GOOD = "private, max-age=31536000, immutable"


@dataclass(frozen=True)
class StaticFile:
    """A file's content, as it is and compressed.

    Attributes
    ----------
    etag : changes with the content
    """

    content: bytes
    compressed: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file."""
        content = path.read_bytes()
        media_type = guess_type(path.name)[0] or "text/plain"
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(content, gzip.compress(content, mtime=0), media_type, etag)

    @property
    def version(self) -> str:
        """The part of the ETag that pages put into the file's address."""
        return self.etag[1:13]

    def answer(self, request: Request) -> Response:
        """The file; only its ETag if the browser has it."""
        headers = {"ETag": self.etag, "Vary": "Accept-Encoding"}
        if request.query_params.get("v") == self.version:
            headers["Cache-Control"] = _FOR_GOOD
        if self.etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        content = self.content
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            content, headers["Content-Encoding"] = self.compressed, "gzip"
        return Response(content, media_type=self.media_type, headers=headers)


def static_files(folder: Path) -> dict[str, StaticFile]:
    """The files of a folder, by name."""
    return {path.name: StaticFile.read(path) for path in folder.iterdir() if path.is_file()}
