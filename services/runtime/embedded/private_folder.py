"""A data folder that its owner alone can read: pictures, metadata, hashes of tokens, a password."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

_OTHERS = 0o077
_users_umask = os.umask(_OTHERS)
os.umask(_users_umask)


def keep_private(folder: Path) -> None:
    """Make the folder, and keep it and all that this process writes from here on to its owner.

    What an older version left readable in it is taken back once. The mask is the process's, as the
    engine of the vectors and the programs that we start write files of their own.
    """
    os.umask(_OTHERS)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if S_IMODE(folder.stat().st_mode) & _OTHERS:
        with contextlib.suppress(PermissionError):  # another's folder, like a mounted volume
            for path in _found(folder):
                with contextlib.suppress(FileNotFoundError):  # a running stack has taken it away
                    path.chmod(S_IMODE(path.stat().st_mode) & ~_OTHERS)


@contextlib.contextmanager
def as_the_user_writes() -> Iterator[None]:
    """What is written meanwhile is for the user, in the mode that their own mask gives it."""
    private = os.umask(_users_umask)
    try:
        yield
    finally:
        os.umask(private)


def _found(folder: Path) -> Iterator[Path]:
    """All in the folder and last the folder itself, so that a run that is cut off is done again."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not path.is_symlink():
                yield path
    yield folder
