"""What a module logs.

structlog's `capture_logs` captures nothing once another test has configured logs: loggers keep the
configuration of their first use.
"""

from types import ModuleType
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture


def captured_logs(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The entries that the module's `log` gets until the test ends; the list grows."""
    capture = LogCapture()
    monkeypatch.setattr(module, "log", structlog.wrap_logger(None, processors=[capture]))
    return capture.entries
