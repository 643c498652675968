"""What must outlast a loss of power."""

import os
import tempfile
from pathlib import Path
from stat import S_IMODE


def replace_file(path: Path, content: bytes) -> None:
    """Write a file as a whole: whatever happens, it has the content of before or the new one."""
    descriptor, name = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        # Copy the folder's permissions: only the owner may read a data folder, but other users
        # may read a shared volume.
        aside.chmod(S_IMODE(path.parent.stat().st_mode) & 0o666)
        aside.replace(path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Write a file's contents, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless they are there."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)
