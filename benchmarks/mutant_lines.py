"""Which unit tests execute which lines, and what CPU time they take.

    python -m benchmarks.mutant_lines FILE

Runs all unit tests once, in this process, under coverage. Tests that do not pass are left out.
"""

import json
import resource
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage

FOLDERS = (
    *(f"services/{name}" for name in ("domain", "fp_miner", "retriever", "evaluator")),
    "tests/unit",
)


class Recorder:
    """A plugin of pytest: tells coverage which test runs, and measures the test."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage
        self._seconds: dict[str, float] = {}
        self._not_passed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._coverage.switch_context(item.nodeid)
        before = _cpu_s()
        result = yield
        self._seconds[item.nodeid] = _cpu_s() - before
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._not_passed.add(report.nodeid)

    def passed(self) -> dict[str, float]:
        """The tests that passed, with their CPU seconds."""
        return {
            test: round(seconds, 3)
            for test, seconds in self._seconds.items()
            if test not in self._not_passed
        }


def _cpu_s() -> float:
    """The CPU seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def lines_by_file(coverage: Coverage, tests: list[str]) -> dict[str, dict[int, list[int]]]:
    """By file and line, the indices of the tests that execute the line."""
    data, indices = coverage.get_data(), {test: index for index, test in enumerate(tests)}
    return {
        str(Path(file).relative_to(Path.cwd())): {
            line: sorted(indices[test] for test in contexts if test in indices)
            for line, contexts in sorted(data.contexts_by_lineno(file).items())
        }
        for file in sorted(data.measured_files())
    }


def main() -> None:
    """Run the unit tests and write what they execute."""
    coverage = Coverage(data_file=None, source=list(FOLDERS), config_file=False)
    recorder = Recorder(coverage)
    coverage.start()
    status = pytest.main(["-q", "-p", "no:cacheprovider", "tests/unit"], plugins=[recorder])
    coverage.stop()
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        sys.exit(status)
    seconds = recorder.passed()
    found = {"seconds": seconds, "lines": lines_by_file(coverage, list(seconds))}
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
