"""A process's wall clock, off by the seconds that stand in the file that FAULTS_CLOCK names.

Python imports this before anything else, where its folder is on PYTHONPATH. Monotonic clocks go on.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.runtime.clock import SystemClock

_FILE = Path(os.environ["FAULTS_CLOCK"])
_true_time = time.time


def _offset_s() -> float:
    return float(_FILE.read_text() or 0.0)


def _now(self: SystemClock) -> datetime:
    del self
    return datetime.now(UTC) + timedelta(seconds=_offset_s())


SystemClock.now = _now  # type: ignore[method-assign]
time.time = lambda: _true_time() + _offset_s()
