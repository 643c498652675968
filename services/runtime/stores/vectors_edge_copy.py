"""Copies Qdrant Edge's folder while a process has it open."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfile

_WRITES = ".writes.lock"


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Change files of Qdrant Edge's folder, while no other process copies them."""
    with (folder / _WRITES).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def copy_edge(folder: Path, to: Path) -> None:
    """Copy Qdrant Edge's folder, whether or not a process has it open.

    Its writes wait meanwhile, so the copy is what a crash at this moment would leave: every
    acknowledged point is in it, in the engine's log at least, which is replayed when it opens.

    Raises
    ------
    OSError
        A file cannot be read, or the copy cannot be written.
    """
    to.mkdir(parents=True)
    if not folder.is_dir():
        return
    with (folder / _WRITES).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for source in sorted(folder.rglob("*")):
            target = to / source.relative_to(folder)
            if source.is_dir():
                target.mkdir(exist_ok=True)
            elif source.name not in (_WRITES, ".lock"):
                # The engine renames spare log files at any time; a missing one was a spare.
                with suppress(FileNotFoundError):
                    copyfile(source, target)
