"""Keeps a data folder private: it contains images, metadata, hashes of tokens and a password."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

_OTHERS = 0o077
_users_umask = os.umask(_OTHERS)
os.umask(_users_umask)


def keep_private(folder: Path) -> None:
    """Create the folder, and make it and all files that this process writes later private.

    It removes permissions that an older version left, once. It sets the umask of the process,
    because the vector engine and child programs write files of their own.
    """
    os.umask(_OTHERS)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if S_IMODE(folder.stat().st_mode) & _OTHERS:
        with contextlib.suppress(PermissionError):  # owned by another user, like a mounted volume
            for path in _found(folder):
                with contextlib.suppress(FileNotFoundError):  # removed by a running stack
                    path.chmod(S_IMODE(path.stat().st_mode) & ~_OTHERS)


@contextlib.contextmanager
def as_the_user_writes() -> Iterator[None]:
    """Write files with the user's own umask in this context, for output that others may read."""
    private = os.umask(_users_umask)
    try:
        yield
    finally:
        os.umask(private)


def _found(folder: Path) -> Iterator[Path]:
    """All paths in the folder, and last the folder itself, so that an aborted run is repeated."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not path.is_symlink():
                yield path
    yield folder
