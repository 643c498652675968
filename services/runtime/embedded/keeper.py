"""Runs one program, and ends it when the process that started this script ends for any reason.

The starter holds the other end of this script's standard input, which the kernel closes even if the
starter is killed. The script holds the folder's lock until the program has ended, so that two
programs never use the folder at once. It is a script on the standard library alone, so that a
starter with threads can run it safely.

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
    # Covers the case that this script itself is killed; only Linux can do this.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _lock(lock: TextIO, patience_s: float) -> bool:
    # An earlier program that is about to end may need a few seconds.
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
    """Run the program in the arguments until standard input closes."""
    lock_path, log_path, patience_s, grace_s, *command = sys.argv[1:]
    with open(lock_path, "a", encoding="utf-8") as lock:  # noqa: PTH123
        if not _lock(lock, float(patience_s)):
            sys.exit(IN_USE)
        _keep(_start(log_path, command), float(grace_s))


if __name__ == "__main__":
    main()
