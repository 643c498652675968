"""Processes that tests kill."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


class Victim:
    """A process that is started again each time it has ended, until it is let go.

    Parameters
    ----------
    command : arguments of this Python
    log : where its output is appended
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = [sys.executable, *command]
        self._log = log
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python'}",
            **(environment or {}),
        }
        self.exits: list[int] = []
        self._lock = threading.RLock()
        self._terminated = False
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def kill(self, meanwhile: Callable[[], None] | None = None) -> None:
        """End it with SIGKILL, and start it again, after something else is done."""
        with self._lock:  # else who tends it starts another one meanwhile
            self.tend()
            self._process.kill()
            self._process.wait()
            if meanwhile is not None:
                meanwhile()
            self.start()

    def suspend(self, seconds: float) -> None:
        """Let it do nothing for a while, as on a machine that is out of memory."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def tend(self) -> None:
        """Start it again if it has ended by itself, as a supervisor would; `exits` says how."""
        with self._lock:
            code = self._process.poll()
            if code is not None and not self._terminated:
                self.exits.append(code)
                self.start()

    def terminate(self, deadline_s: float = 240.0) -> int:
        """Ask it to end, and say how it did; nobody but `start` starts it again."""
        with self._lock:
            self._terminated = True
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(deadline_s)

    def wait(self, deadline_s: float = 240.0) -> int:
        """Wait for it to end by itself, and say how it did."""
        return self._process.wait(deadline_s)

    def start(self) -> None:
        """Start it, after it was told to end."""
        with self._lock, self._log.open("ab") as log:
            self._terminated = False
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
