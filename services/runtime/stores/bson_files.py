"""Files of BSON documents, one after the other, written durably."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from services.contracts.errors import DamagedBackup

RAW: Final = CodecOptions(document_class=RawBSONDocument)
"""Documents as raw bytes, so that reading and writing them changes nothing."""


class BsonWriter:
    """Writes documents to a new file; they are on disk once the context has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self.documents = 0
        self.size = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def write(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Append documents.

        Raises
        ------
        OSError
            The disk is full, or the file cannot be written.
        """
        for document in documents:
            raw = document.raw if isinstance(document, RawBSONDocument) else bson.encode(document)
            self._file.write(raw)
            self._digest.update(raw)
            self.documents += 1
            self.size += len(raw)

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if error is None:
                self._file.flush()
                os.fsync(self._file.fileno())


def read_documents(path: Path, at_once: int) -> Iterator[list[RawBSONDocument]]:
    """A file's documents, in lists of at most this many.

    Raises
    ------
    DamagedBackup
        The file is cut off, or holds something else.
    """
    with path.open("rb") as file:
        documents = bson.decode_file_iter(file, RAW)
        try:
            while batch := list(islice(documents, at_once)):
                yield batch
        except BSONError as exc:
            raise DamagedBackup(f"{path} cannot be read: {exc}") from exc
