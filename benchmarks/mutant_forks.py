"""Runs tests of changed code, every run in a fork of a process that has imported all libraries.

    python -m benchmarks.mutant_forks

Importing libraries takes most of a short run's time. The code of the repository is imported by the
fork alone, so a change of it is seen. Reads a `Request` per line, and answers with a `Result`.
"""

import json
import math
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numba
import pytest

from benchmarks.mutant_trial import Request, Result

_LIBRARIES = (
    *("aiokafka", "confluent_kafka", "fsspec", "hypothesis", "kafka", "numpy", "orjson"),
    *("pydantic", "pydantic_settings", "rich", "scipy", "structlog", "xdist", "yaml"),
)
_OPTIONS = (
    *("-xq", "--tb=no", "-p", "no:cacheprovider"),
    # Hypothesis's own assertions need not be rewritten.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
_WAITING_S = 300.0
"""The longest run of tests, for mutants that wait for ever without using CPU."""
_POLL_S = 0.01


class TimedTests:
    """A plugin of pytest: limits the CPU seconds of tests, and writes to a file which failed."""

    def __init__(self, limits_s: Mapping[str, float], file: Path) -> None:
        self._limits_s = limits_s
        self._file = file

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        _limit_cpu(self._limits_s[nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._file.write_text(report.nodeid)


def result_of(request: Request) -> Result:
    """Run tests in a fork."""
    with tempfile.TemporaryDirectory() as folder:
        failed = Path(folder, "failed")
        failed.touch()
        before = _children_s()
        process = os.fork()
        if not process:
            try:
                _run(request, failed)
            finally:
                os._exit(1)
        status = _status(process)
        return Result(
            passed=status == 0,
            late=status is None or status == -signal.SIGXCPU,
            failed=failed.read_text(),
            cpu_s=round(_children_s() - before, 2),
        )


def _run(request: Request, failed: Path) -> None:
    """Run tests in this process, and end it with pytest's exit status."""
    os.setsid()
    _limit_cpu(max(request.limits_s.values()))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    numba.config.CACHE_DIR = request.compiled  # type: ignore[attr-defined]  # set on import
    plugin = TimedTests(request.limits_s, failed)
    os._exit(pytest.main([*_OPTIONS, *request.limits_s], plugins=[plugin]))


def _limit_cpu(seconds: float) -> None:
    """End this process when it has used so many CPU seconds more."""
    limit = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _status(process: int) -> int | None:
    """How a process ended, minus the signal where one ended it; None where it waited too long."""
    end, ended, status = time.monotonic() + _WAITING_S, 0, 0
    while not ended and time.monotonic() < end:
        time.sleep(_POLL_S)
        ended, status = os.waitpid(process, os.WNOHANG)
    with suppress(ProcessLookupError):  # it left no process behind
        os.killpg(process, signal.SIGKILL)
    if ended:
        return os.waitstatus_to_exitcode(status)
    os.waitpid(process, 0)
    return None


def _children_s() -> float:
    """The CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Answer requests until there are no more."""
    for name in _LIBRARIES:
        import_module(name)
    for line in sys.stdin:
        print(json.dumps(asdict(result_of(Request(**json.loads(line))))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
