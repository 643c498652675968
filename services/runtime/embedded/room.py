"""Checks for free space on the data folder's disk, because a full disk kills the parts.

The parts map files into memory. If the disk has no space for a page of such a file, the process
ends by SIGBUS without a message. So Gazeloop neither starts nor continues with little space.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.contracts.errors import DiskFull
from services.runtime.embedded.watching import held_to

TO_GO_ON_BYTES = 96 * 1024 * 1024
TO_START_BYTES = 2 * TO_GO_ON_BYTES
"""More than what a new folder takes at once (MongoDB's journal: 30 MB) and TO_GO_ON_BYTES."""

Free = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """Free bytes on the folder's disk."""
    return shutil.disk_usage(folder).free


def check_room(folder: Path, free: Free = free_bytes) -> None:
    """Raise if the disk has too little space to start the parts.

    Raises
    ------
    DiskFull
        The space is below the limit.
    """
    _check(folder, free, TO_START_BYTES, "to start")


@asynccontextmanager
async def room_kept(folder: Path, free: Free = free_bytes) -> AsyncIterator[None]:
    """Cancel the context's body before the disk is full.

    Raises
    ------
    ExceptionGroup
        Contains DiskFull.
    """
    async with held_to(lambda: _check(folder, free, TO_GO_ON_BYTES, "to continue")):
        yield


def _check(folder: Path, free: Free, needed: int, what_for: str) -> None:
    try:
        left = free(folder)
    except OSError:  # the folder is gone, which its next use reports
        return
    if left < needed:
        raise DiskFull(
            f"the disk of {folder} has {left / 1e6:,.0f} MB left, and {needed / 1e6:,.0f} MB are"
            f" needed {what_for}"
        )
