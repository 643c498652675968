"""Room on the data folder's disk: the parts map files into memory, and a full disk kills them.

A page of a mapped file that the disk has no room for ends the process by SIGBUS, without a word.
So we do not begin, and do not go on, where little is left.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.contracts.errors import DiskFull
from services.runtime.embedded.mongod import FOLDER as MONGODB_FOLDER
from services.runtime.embedded.watching import held_to

TO_BEGIN_BYTES = 512 * 1024 * 1024
"""MongoDB writes 300 MB of journal before its first record."""
TO_GO_ON_BYTES = 96 * 1024 * 1024

Free = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """What is left on the disk that the folder is on."""
    return shutil.disk_usage(folder).free


def check_room(folder: Path, free: Free = free_bytes) -> None:
    """Refuse to start the parts where they would soon fail.

    Raises
    ------
    DiskFull
        There is too little room, for a new folder or for one that is in use.
    """
    begun = (folder / MONGODB_FOLDER).exists()
    _check(folder, free, 2 * TO_GO_ON_BYTES if begun else TO_BEGIN_BYTES, "to start")


@asynccontextmanager
async def room_kept(folder: Path, free: Free = free_bytes) -> AsyncIterator[None]:
    """What is done while this is open is cancelled before the disk is full.

    Raises
    ------
    ExceptionGroup
        Of DiskFull.
    """
    async with held_to(lambda: _check(folder, free, TO_GO_ON_BYTES, "to go on")):
        yield


def _check(folder: Path, free: Free, needed: int, what_for: str) -> None:
    try:
        left = free(folder)
    except OSError:  # taken away under us: whoever uses it next says so
        return
    if left < needed:
        raise DiskFull(
            f"the disk of {folder} has {left / 1e6:,.0f} MB left, and {needed / 1e6:,.0f} MB are"
            f" needed {what_for}"
        )
