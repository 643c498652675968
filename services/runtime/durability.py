"""What must outlast a loss of power."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Write a file's contents, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
