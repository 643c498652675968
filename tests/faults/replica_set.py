"""Three mongods that replicate each other, each reached by others through a proxy of its own."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from services.runtime.embedded.mongod import Mongod
from tests.faults.proxies import Proxies, Proxy

_NAME = "faults"
_POLL_S = 0.2
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""Where Debian's package has it."""
Client = MongoClient[dict[str, Any]]


class Member(Mongod):
    """A mongod of a replica set.

    Attributes
    ----------
    has_own_clock : whether its clock can be set from its next start on; libfaketime makes an idle
        mongod busy, a tenth of a core
    """

    has_own_clock = False

    def _command(self, folder: Path) -> list[str]:
        command = [*super()._command(folder), "--replSet", _NAME]
        if not self.has_own_clock:
            return command
        clock = _clock_of(folder)
        clock.write_text("+0")
        variables = {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": clock,
            "FAKETIME_CACHE_DURATION": 1,  # seconds until it reads the file again
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        }
        return ["/usr/bin/env", *(f"{key}={value}" for key, value in variables.items()), *command]


def _clock_of(folder: Path) -> Path:
    return folder / "clock"


class ReplicaSet:
    """A replica set, which elects a primary within seconds.

    Attributes
    ----------
    proxies : the way to each member, for services and the other members
    """

    def __init__(self, folder: Path, proxies: Proxies, members: int = 3) -> None:
        self._parts = ExitStack()
        self._folders = [folder / f"member-{number}" for number in range(1, members + 1)]
        self.members = [self._parts.enter_context(Member(path)) for path in self._folders]
        self.proxies: Sequence[Proxy] = [proxies.before(member.port) for member in self.members]
        hosts = [f"127.0.0.1:{proxy.port}" for proxy in self.proxies]
        listed = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
        settings = {"electionTimeoutMillis": 3000}
        config = {"_id": _NAME, "members": listed, "settings": settings}
        with self._asking(self.members[0]) as client:
            client.admin.command("replSetInitiate", config)
        self.url = f"mongodb://{','.join(hosts)}/?replicaSet={_NAME}&w=majority&journal=true"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def primary(self) -> int | None:
        """The number of the member that takes writes; None during an election."""
        for number, member in enumerate(self.members):
            try:
                with self._asking(member) as client:
                    if client.admin.command("hello")["isWritablePrimary"]:
                        return number
            except PyMongoError:
                continue
        return None

    def step_down(self) -> None:
        """Ask the primary to leave its office to another."""
        number = self.primary()
        assert number is not None
        with self._asking(self.members[number]) as client:
            client.admin.command("replSetStepDown", 20, secondaryCatchUpPeriodSecs=10)

    def restart(self, *, with_own_clocks: bool) -> None:
        """Restart one member after the other, so that there is a majority all the time."""
        for member in self.members:
            member.has_own_clock = with_own_clocks
            member.kill()
            member.restart()
            while self.primary() is None:
                time.sleep(_POLL_S)

    def set_clocks(self, seconds: int) -> None:
        """Let all members' clocks be off by this much, within a second."""
        for path in self._folders:
            _clock_of(path).write_text(f"{seconds:+d}")

    def _asking(self, member: Member) -> Client:
        address = f"mongodb://127.0.0.1:{member.port}/?directConnection=true"
        return MongoClient(address, serverSelectionTimeoutMS=2000)
