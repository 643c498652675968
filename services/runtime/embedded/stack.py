"""Runs the broker and the metadata store of a data folder as children of one process.

The process that holds the folder's lock owns the parts and writes their addresses to a file; other
processes read it and join. The lock ends with its process, so a stale file is recognised.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import TextIO

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from services.contracts.errors import FolderInUse, MissingBroker
from services.runtime.durability import replace_file
from services.runtime.embedded.kafka import EmbeddedKafka, has_events, lacks
from services.runtime.embedded.memory_broker import MemoryBroker
from services.runtime.embedded.mongod import FOLDER, Mongod
from services.runtime.embedded.mongod_login import USER, MongodLogin
from services.runtime.embedded.private_folder import keep_private
from services.runtime.embedded.room import check_room
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings

_LOOKED_AT_S = 1.0  # a process that only checks whether the parts run holds the lock briefly
_STARTING_S = 60.0

log = structlog.get_logger(__name__)


class Addresses(BaseModel):
    """The addresses of a data folder's parts, and the process that runs them."""

    model_config = ConfigDict(frozen=True)

    kafka: str
    mongodb: str
    mongodb_user: str = ""
    """User of the folder's own mongod, whose password is in the folder."""
    pid: int
    review: str = ""
    """URL of the review page; empty if none is served."""
    vectors: str = ""
    """URL at which other processes read the folder's vectors; empty if they cannot."""
    vectors_key: str = ""

    @property
    def broker(self) -> BrokerAddress:
        """The broker's address."""
        return BrokerAddress.parse(self.kafka)

    def applied_to(self, settings: Settings) -> Settings:
        """The settings with these addresses, and with the login of the folder's own mongod."""
        update: dict[str, object] = {"kafka": self.kafka, "mongodb": self.mongodb}
        if self.mongodb_user:
            login = MongodLogin.of(settings.data / FOLDER)
            update |= {"mongodb_user": self.mongodb_user, "mongodb_password": login.password}
        return settings.model_copy(update=update)


class EmbeddedStack:
    """Runs the parts that the settings do not name on the data folder, while the context is open.

    Raises
    ------
    FolderInUse
        Another process uses this data folder.
    MissingPart
        A part is not installed, or does not start.
    MissingBroker
        The folder holds events of Apache Kafka, which cannot be started here.
    DiskFull
        The folder's disk has too little space.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data
        self._closing = ExitStack()
        self._parts: list[Mongod | EmbeddedKafka] = []

    def __enter__(self) -> Addresses:
        keep_private(self._folder)
        try:
            self._closing.enter_context(_locked(self._folder, patience_s=_LOOKED_AT_S))
            if not (self._settings.kafka and self._settings.mongodb):
                check_room(self._folder)
            _forget(self._folder)  # a killed process may have left its file
            self._closing.callback(self._stop)
            addresses = self._start()
            _write(self._folder, addresses)
        except BaseException:
            self._closing.close()
            raise
        self._closing.callback(_forget, self._folder)
        self._addresses = addresses
        return addresses

    def check(self) -> None:
        """Raise if a part has ended.

        Raises
        ------
        PartEnded
            A part has ended by itself.
        """
        for part in self._parts:
            part.check()

    def serves(self, **addresses: str) -> None:
        """Publish addresses that this process serves to processes that join."""
        self._addresses = self._addresses.model_copy(update=addresses)
        _write(self._folder, self._addresses)

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _start(self) -> Addresses:
        with ThreadPoolExecutor(2) as pool:
            kafka = pool.submit(self._start_broker)
            mongodb = pool.submit(self._start_mongod)
        return Addresses(
            kafka=kafka.result(),
            mongodb=mongodb.result(),
            mongodb_user="" if self._settings.mongodb else USER,
            pid=os.getpid(),
        )

    def _stop(self) -> None:
        """Stop all parts at once, because each takes about a second."""
        with ThreadPoolExecutor(2) as pool:
            stopping = [pool.submit(part.stop) for part in self._parts]
        for stopped in stopping:
            stopped.result()

    def _start_broker(self) -> str:
        if self._settings.kafka:
            return self._settings.kafka
        folder = self._folder / "kafka"
        if why := lacks():
            if has_events(folder):
                raise MissingBroker(f"{folder} holds events of Apache Kafka, but there is {why}")
            log.warning("broker_in_memory", why=why, means="events do not survive a restart")
            return str(self._closing.enter_context(MemoryBroker()).address)
        kafka = EmbeddedKafka(folder)
        self._parts.append(kafka)
        return kafka.bootstrap

    def _start_mongod(self) -> str:
        if self._settings.mongodb:
            return self._settings.mongodb
        folder = self._folder / FOLDER
        folder.mkdir(exist_ok=True)
        mongod = Mongod(folder, MongodLogin.of(folder))
        self._parts.append(mongod)
        return mongod.url


def running(settings: Settings) -> Addresses | None:
    """The addresses of the data folder's parts if a process runs them; creates no folder."""
    if not settings.data.is_dir():
        return None
    try:
        with _locked(settings.data):
            return None
    except FolderInUse:
        pass
    try:
        return Addresses.model_validate_json(_state(settings.data).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None  # the parts are still starting


def joined(settings: Settings) -> AbstractAsyncContextManager[Addresses]:
    """The data folder's parts: those that run already, else new ones while the context is open."""
    return in_thread(_joined(settings))


@asynccontextmanager
async def in_thread(parts: AbstractContextManager[Addresses]) -> AsyncIterator[Addresses]:
    """Start and stop these parts in a thread, because both take seconds."""
    starting = asyncio.ensure_future(asyncio.to_thread(parts.__enter__))
    try:
        yield await asyncio.shield(starting)
    finally:
        # Where this task was cancelled, the thread starts the parts all the same.
        await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(parts.__exit__, None, None, None)


@contextmanager
def _joined(settings: Settings) -> Iterator[Addresses]:
    keep_private(settings.data)
    with ExitStack() as closing:
        yield _running_or_started(settings, closing)


@retry(
    # Another process may be starting or stopping the parts.
    retry=retry_if_exception_type(FolderInUse),
    stop=stop_after_delay(_STARTING_S),
    wait=wait_fixed(0.5),
    reraise=True,
)
def _running_or_started(settings: Settings, closing: ExitStack) -> Addresses:
    return running(settings) or closing.enter_context(EmbeddedStack(settings))


def _state(folder: Path) -> Path:
    return folder / "stack.json"


def _write(folder: Path, addresses: Addresses) -> None:
    replace_file(_state(folder), addresses.model_dump_json().encode())


def _forget(folder: Path) -> None:
    _state(folder).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path, *, patience_s: float = 0.0) -> Iterator[TextIO]:
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with (folder / "stack.lock").open("a", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() >= deadline:
                    raise FolderInUse(f"another process runs on the data folder {folder}") from exc
            time.sleep(0.05)
        yield lock
