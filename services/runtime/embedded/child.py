"""A child program on its own folder, which never outlives this process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from services.contracts.errors import FolderInUse, MissingPart, PartEnded
from services.runtime.embedded import keeper

_LOG_TAIL_BYTES = 1500
_POLL_S = 0.05


class Child:
    """A running program, supervised by `keeper.py`.

    Parameters
    ----------
    name : name for messages
    command : the program and its arguments
    folder : existing folder for the lock and the program's log
    patience_s : how long to wait for an earlier program on the folder that is about to end
    grace_s : how long the program may take to end before it is killed
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        patience_s: float = 15.0,
        grace_s: float = 10.0,
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._grace_s = grace_s
        script = [sys.executable, "-I", "-S", keeper.__file__]
        arguments = [str(folder / f"{name}.lock"), str(self.log_path)]
        arguments += [str(patience_s), str(grace_s)]
        # A new session, so that Ctrl-C reaches only this process, which stops its children last.
        self._keeper = subprocess.Popen(  # noqa: S603  # this package's script
            [*script, *arguments, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            umask=0o077,
            text=True,
        )
        self.pid = self._read_pid(folder)

    def _read_pid(self, folder: Path) -> int:
        assert self._keeper.stdout is not None
        with self._keeper.stdout as stdout:
            line = stdout.readline()
        if line:
            return int(line)
        code = self._keeper.wait()
        self._close_input()
        if code == keeper.IN_USE:
            raise FolderInUse(f"{self.name} is already running on {folder}")
        raise MissingPart(f"{self.name} cannot be started; {self._end_of_log()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the program still runs."""
        return self._keeper.poll() is None

    def check(self) -> None:
        """Raise if the program has ended.

        Raises
        ------
        PartEnded
            The program has ended by itself; its log may show why.
        """
        if not self.running:
            raise PartEnded(f"{self.name} has ended by itself; its log is {self.log_path}")

    def wait_until(self, ready: Callable[[], bool], *, deadline_s: float) -> None:
        """Wait until the program answers.

        Raises
        ------
        MissingPart
            The program ended or missed the deadline; the message contains the end of its log.
        """
        deadline = time.monotonic() + deadline_s
        while not ready():
            if not self.running:
                raise MissingPart(f"{self.name} ended at once; {self._end_of_log()}")
            if time.monotonic() > deadline:
                self.stop()
                raise MissingPart(
                    f"{self.name} was not ready within {deadline_s:.0f} s; {self._end_of_log()}"
                )
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ask the program to end, kill it after `grace_s`, and wait until it has ended."""
        self._close_input()
        try:
            self._keeper.wait(self._grace_s + 5.0)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()

    def kill(self) -> None:
        """Kill the program without warning, like a power failure, unless it has ended already."""
        if self.running:
            with suppress(ProcessLookupError):  # it has ended, and its keeper is about to
                os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def _close_input(self) -> None:
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()

    def _end_of_log(self) -> str:
        text = self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return f"the end of {self.log_path}:\n{text}"


def is_listening(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
