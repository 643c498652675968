"""Data sets that come as one zip file."""

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from services.contracts.errors import InvalidRecord

_DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What zipfile raises, RuntimeError for encrypted files."""


@contextmanager
def as_folder(path: Path) -> Iterator[Path]:
    """The folder itself, or a temporary one with a zip file's content, named like the file.

    Raises
    ------
    InvalidRecord
        `unreadable_file`: it is no zip file, is encrypted or damaged, or its content is more than
        fits on the disk.
    """
    if path.is_dir():
        yield path
        return
    with TemporaryDirectory(prefix="gazeloop-zip-") as temporary:
        folder = Path(temporary) / path.stem
        _unpack(path, folder)
        yield folder


def _unpack(file: Path, folder: Path) -> None:
    folder.mkdir()
    try:
        with zipfile.ZipFile(file) as archive:
            # zipfile reads no more of an entry than it declares, so this bounds what is written.
            size = sum(entry.file_size for entry in archive.infolist())
            if size > shutil.disk_usage(folder).free:
                detail = f"{file} holds {size:,} bytes, more than {folder} has room for"
                raise InvalidRecord(detail, reason="unreadable_file")
            archive.extractall(folder)  # keeps every entry inside the folder
    except _DAMAGED as exc:
        raise InvalidRecord(f"{file}: {exc}", reason="unreadable_file") from exc
