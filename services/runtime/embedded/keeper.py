"""Run one program and end it when whoever started this script is gone, however that came about.

The starter holds the other end of our standard input; the kernel closes it even when the starter is
killed. The folder's lock is held until the program has really ended, so that its successor never
meets it. Standard library only, and run as a script: a starter may fork from any thread.

Usage: keeper.py LOCK LOG PATIENCE_S GRACE_S PROGRAM ARGUMENT...
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

CANNOT_START = 97
IN_USE = 98
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    # For the case that this keeper itself is killed; other systems do without.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _lock(lock: TextIO, patience_s: float) -> bool:
    # A predecessor that was just told to end may need some seconds for it.
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False


def _leave_with(program: subprocess.Popen[bytes]) -> None:
    os._exit(program.wait() & 0xFF)


def _start(log_path: str, command: list[str]) -> subprocess.Popen[bytes]:
    with open(log_path, "ab") as log:  # noqa: PTH123  # starts faster without pathlib
        try:
            return subprocess.Popen(  # noqa: S603  # the starter chose it
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # one thread so far
            )
        except OSError as exc:
            log.write(f"{exc}\n".encode())
            sys.exit(CANNOT_START)


def _keep(program: subprocess.Popen[bytes], grace_s: float) -> None:
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
    lock_path, log_path, patience_s, grace_s, *command = sys.argv[1:]
    with open(lock_path, "a", encoding="utf-8") as lock:  # noqa: PTH123
        if not _lock(lock, float(patience_s)):
            sys.exit(IN_USE)
        _keep(_start(log_path, command), float(grace_s))


if __name__ == "__main__":
    main()
