"""The collections of a Qdrant Edge folder and their aliases, for any process.

Only one process at a time may open the points. Aliases are in a file that any process may read and
replace, so that an alias can move while `gazeloop up` runs.
"""

import asyncio
import fcntl
from collections.abc import Mapping
from pathlib import Path

import orjson

from services.contracts.errors import DamagedVectors, StoreUnavailable
from services.runtime.durability import replace_file

EDGE_FOLDER = "qdrant"
"""Qdrant Edge's folder in the data folder."""


class EdgeNames:
    """CollectionAliases of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "aliases.json"
        self._read: tuple[tuple[int, int], dict[str, str]] | None = None

    async def collections(self) -> list[str]:
        return await asyncio.to_thread(self._collections)

    async def aliases(self) -> dict[str, str]:
        return dict(await asyncio.to_thread(self.now))

    async def alias(self, names: Mapping[str, str]) -> None:
        await asyncio.to_thread(self._alias, names)

    async def close(self) -> None:
        """Do nothing; no resources are open."""

    def now(self) -> Mapping[str, str]:
        """The collection of each alias; reads the file again if another process replaced it."""
        try:
            stated = self._file.stat()
            # A replacement is a new file. Its inode may be a reused number, so compare times too.
            version = stated.st_ino, stated.st_mtime_ns
            if self._read is None or self._read[0] != version:
                self._read = version, _parsed(self._file)
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StoreUnavailable(f"reading {self._file}: {exc}") from exc
        return self._read[1]

    def _collections(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.parent.name for path in self._folder.glob("[!.]*/edge_config.json"))

    def _alias(self, names: Mapping[str, str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".aliases.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            replace_file(self._file, orjson.dumps({**self.now(), **names}))


def _parsed(file: Path) -> dict[str, str]:
    try:
        names = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as exc:
        raise DamagedVectors(f"{file} cannot be read: {exc}") from exc
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise DamagedVectors(f"{file} holds no aliases")
    return names
