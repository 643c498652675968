"""Which tests a mutant is tried with."""

import ast
from pathlib import Path

import pytest

from benchmarks.mutant_imports import Repository
from benchmarks.mutant_tests import (
    BUDGET_S,
    Executed,
    TestChoice,
    kernel_calls,
    spans,
    within_budget,
)

CURVES = """\
SIZE = 3


def total(
    values,
    first=1,
):
    result = first
    for value in (
        values
    ):
        result += value
    return result
"""
CURVE_KERNELS = """\
def _value(x):
    return x + 1


def _other(x):
    return x + 2


def area(x):
    return _value(x)


def height(x):
    return _other(x)
"""
CALLER = """\
def areas(x):
    from services import curve_kernels

    return curve_kernels.area(x)


def heights(x):
    from services import curve_kernels

    return curve_kernels.height(x)
"""
FILES = {
    "services/curves.py": CURVES,
    "services/curve_kernels.py": CURVE_KERNELS,
    "services/caller.py": CALLER,
    "services/far.py": "from services.curves import total\n",
    "tests/unit/test_curves.py": "from services.curves import total\n",
    "tests/unit/test_far.py": "from services.far import total\n",
}
LAST = "tests/unit/test_curves.py::test_result"
FIRST = "tests/unit/test_curves.py::test_first"
FAR = "tests/unit/test_far.py::test_total"
NO_FILE = "tests/unit/test_other.py::test_area"
EXECUTED = Executed(
    seconds={LAST: 0.1, FIRST: 0.2, FAR: 0.01, NO_FILE: 0.01},
    lines={"services/curves.py": {"8": [1, 2], "13": [2]}, "services/caller.py": {"4": [3]}},
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    for path, source in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return Repository(tmp_path)


@pytest.fixture
def choice(repository: Repository) -> TestChoice:
    return TestChoice(EXECUTED, repository)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (1, [range(1, 2)]),
        (6, [range(4, 8), range(8, 14)]),  # a default, and the calls that use it
        (10, [range(9, 12), range(8, 14)]),  # without the loop's body
        (12, [range(12, 13), range(8, 14)]),
    ],
)
def test_a_line_is_its_statement_and_then_its_function(line: int, expected: list[range]) -> None:
    assert spans(ast.parse(CURVES), line) == expected


def test_tests_that_execute_the_line_come_first_then_others_of_their_files(
    choice: TestChoice,
) -> None:
    assert choice.tests_for("services/curves.py", 8) == [FIRST, FAR, LAST]


def test_a_default_is_tried_with_the_tests_that_execute_its_function(choice: TestChoice) -> None:
    assert choice.tests_for("services/curves.py", 6) == [FIRST, FAR, LAST]


def test_where_no_test_executes_a_line_those_nearest_by_imports_are_tried(
    choice: TestChoice,
) -> None:
    assert choice.tests_for("services/curves.py", 1) == [LAST, FIRST, FAR]


def test_a_kernel_is_tried_with_the_tests_that_call_it(choice: TestChoice) -> None:
    assert choice.tests_for("services/curve_kernels.py", 2) == [NO_FILE]


def test_a_kernel_is_called_where_one_is_called_that_calls_it(repository: Repository) -> None:
    assert list(kernel_calls(repository, "services/curve_kernels.py", 6)) == [
        ("services/caller.py", 10)
    ]


def test_tests_that_exceed_the_budget_are_left_out() -> None:
    seconds = {"quick": 0.1, "slow": BUDGET_S, "last": 0.2}
    assert within_budget(seconds, seconds) == ["quick", "last"]
