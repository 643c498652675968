"""Exits a process at once, so that nothing unfinished is committed.

Unwinding would let Faust acknowledge the current batch; only `os._exit` skips every `finally`.
"""

import logging
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn


class ExitCode(IntEnum):
    """Exit codes for the supervisor."""

    FAILED = 70
    """An unexpected or Fatal error."""
    STALLED = 71
    """There is lag, and no progress for longer than the stall limit."""
    UNDRAINED = 75
    """The current batch was unfinished at the drain deadline; it will be delivered again."""


Exit = Callable[[ExitCode], NoReturn]


def exit_now(code: ExitCode) -> NoReturn:
    """Flush the logs and exit without any clean-up."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
