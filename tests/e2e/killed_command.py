"""Runs `gazeloop`, and ends it by SIGKILL once a method of a store has done its work.

Usage: killed_command.py MODULE CLASS.METHOD ARGUMENT...
"""

import os
import signal
import sys
from importlib import import_module
from typing import Any

from services.cli.main import main


def kill_after(module: str, qualified_name: str) -> None:
    """Let this method end the process, after what it does."""
    name, method = qualified_name.split(".")
    owner = getattr(import_module(module), name)
    work = getattr(owner, method)

    async def last_work(*args: Any) -> None:
        await work(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, last_work)


if __name__ == "__main__":
    kill_after(*sys.argv[1:3])
    sys.argv[1:3] = []
    main()
