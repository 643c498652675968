"""How a process that must not go on ends: at once, so that nothing unfinished is committed.

Unwinding would let Faust acknowledge the batch in hand; only `os._exit` runs no `finally`.
"""

import logging
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn


class ExitCode(IntEnum):
    """What the supervisor sees."""

    FAILED = 70
    """An error that nobody foresaw, or a Fatal one."""
    STALLED = 71
    """Lag, and no progress for longer than the stall limit."""
    UNDRAINED = 75
    """The batch in hand was not done at the drain deadline; it will be delivered again."""


Exit = Callable[[ExitCode], NoReturn]


def exit_now(code: ExitCode) -> NoReturn:
    """Flush the logs and leave, running no clean-up of any kind."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
