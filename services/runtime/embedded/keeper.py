"""Run one program and end it when whoever started this script is gone, however that came about.

The starter holds the other end of our standard input; the kernel closes it even when the starter is
killed. The folder's lock is held until the program has really ended, so that its successor never
meets it. Standard library only, and run as a script: a starter may fork from any thread.

Usage: keeper.py LOCK LOG GRACE_S PROGRAM ARGUMENT...
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TextIO

IN_USE = 98
_LOCK_PATIENCE_S = 15.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    # For the case that this keeper itself is killed; other systems do without.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _lock(lock: TextIO) -> bool:
    # A predecessor that was just told to end may need some seconds for it.
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False


def _leave_with(program: subprocess.Popen[bytes]) -> None:
    os._exit(program.wait() & 0xFF)


def _run(log_path: str, grace_s: float, command: list[str]) -> None:
    with open(log_path, "ab") as log:  # noqa: PTH123  # starts faster without pathlib
        program = subprocess.Popen(  # noqa: S603  # the starter chose it
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # one thread so far
        )
    sys.stdout.write(f"{program.pid}\n")
    sys.stdout.close()
    threading.Thread(target=_leave_with, args=[program], daemon=True).start()
    sys.stdin.read()
    program.terminate()
    try:
        program.wait(grace_s)
    except subprocess.TimeoutExpired:
        program.kill()
    program.wait()


def main() -> None:
    """Keep the program that the arguments name."""
    lock_path, log_path, grace_s, *command = sys.argv[1:]
    with open(lock_path, "a", encoding="utf-8") as lock:  # noqa: PTH123
        if not _lock(lock):
            sys.exit(IN_USE)
        _run(log_path, float(grace_s), command)


if __name__ == "__main__":
    main()
