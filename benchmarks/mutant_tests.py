"""Which tests a mutant is tried with: those that execute what it changes, the nearest first.

Coverage does not see what compiled kernels execute. For a line of a kernel, these are the tests
that execute a call of it, or of a kernel that may call it.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.mutant_imports import Repository

BUDGET_S = 60.0
"""CPU seconds, without the mutant, of all tests that one is tried with."""
_OVERHEAD_S = 0.01
"""What a test costs beside itself: it is collected, set up and reported."""
_TEST_FILES = 6
"""The most test files for a line that no test executes when it runs, such as a default."""

Place = tuple[str, int]
"""A file and a line of it."""
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Executed:
    """What a run of all tests has shown.

    Attributes
    ----------
    seconds : of CPU, by test
    lines : by file and line, the indices of the tests that execute the line
    """

    seconds: Mapping[str, float]
    lines: Mapping[str, Mapping[str, Sequence[int]]]

    def tests_of(self, places: Iterable[Place]) -> set[str]:
        """The tests that execute at least one of these lines."""
        tests = list(self.seconds)
        return {
            tests[index]
            for path, line in places
            for index in self.lines.get(path, {}).get(str(line), ())
        }


class TestChoice:
    """Chooses tests for the lines of a repository."""

    __test__ = False

    def __init__(self, executed: Executed, repository: Repository) -> None:
        self._executed = executed
        self._repository = repository

    def tests_for(self, path: str, line: int) -> list[str]:
        """The tests to try a change of a line with, in their order.

        First those that execute the line, and then the others of the same files: what a fixture or
        a cache keeps is executed for the first test only.
        """
        executing = self._executing(path, line)
        files = {file_of(test) for test in executing} or set(
            nearest_test_files(self._repository, path)
        )
        rank = self._repository.ranks(path)

        def order(test: str) -> tuple[bool, int, str, float]:
            file = file_of(test)
            return test not in executing, rank.get(file, len(rank)), file, self._seconds[test]

        tests = sorted((test for test in self._seconds if file_of(test) in files), key=order)
        return within_budget(tests, self._seconds)

    @property
    def _seconds(self) -> Mapping[str, float]:
        return self._executed.seconds

    def _executing(self, path: str, line: int) -> set[str]:
        """The tests that execute a line, or else the innermost definition around it."""
        if is_kernel(path):
            return self._executed.tests_of(kernel_calls(self._repository, path, line))
        for span in spans(self._repository.tree(path), line):
            if tests := self._executed.tests_of((path, number) for number in span):
                return tests
        return set()


def within_budget(tests: Iterable[str], seconds: Mapping[str, float]) -> list[str]:
    """The tests that fit into the budget, in their order."""
    chosen, total_s = list[str](), 0.0
    for test in tests:
        cost_s = seconds[test] + _OVERHEAD_S
        if total_s + cost_s <= BUDGET_S:
            chosen.append(test)
            total_s += cost_s
    return chosen


def file_of(test: str) -> str:
    """The file of a test."""
    return test.partition("::")[0]


def spans(tree: ast.AST, line: int) -> list[range]:
    """The lines of the statement at a line, then of the definitions around it, innermost first.

    Of a statement that contains others, only the lines before these.
    """
    around = [
        node for node in ast.walk(tree) if isinstance(node, ast.stmt) and line in _lines(node)
    ]
    around.sort(key=lambda node: len(_lines(node)))
    definitions = [node for node in around if isinstance(node, Definition)]
    return [_head(node) for node in around[:1]] + [_body(node) for node in definitions]


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _head(node: ast.stmt) -> range:
    body = getattr(node, "body", None)
    return range(node.lineno, body[0].lineno) if body else _lines(node)


def _body(node: Definition) -> range:
    """The lines that are executed by a call: what stands before them is, when it is imported."""
    return range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)


def kernel_calls(repository: Repository, path: str, line: int) -> Iterator[Place]:
    """Where interpreted code calls a kernel that may execute a line."""
    dependents = repository.dependents(path)
    kernels = {file for file in dependents if is_kernel(file)}
    functions = [
        node
        for file in kernels
        for node in repository.tree(file).body
        if isinstance(node, ast.FunctionDef)
    ]
    names = {
        node.name
        for node in repository.tree(path).body
        if isinstance(node, ast.FunctionDef) and line in _lines(node)
    }
    while calling := {node.name for node in functions if not names.isdisjoint(_used(node))} - names:
        names |= calling
    for file in {other for kernel in kernels for other in repository.importers[kernel]} - kernels:
        yield from ((file, at) for name, at in _names(repository.tree(file)) if name in names)


def is_kernel(path: str) -> bool:
    """Whether Numba compiles a file's functions."""
    return path.endswith("_kernels.py")


def _used(node: ast.AST) -> set[str]:
    return {name for name, _ in _names(node)}


def _names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno


def nearest_test_files(repository: Repository, path: str) -> list[str]:
    """The files of unit tests that are nearest to a file by imports."""
    rank = repository.ranks(path)
    tests = [file for file in rank if file.startswith("tests/unit") and "/test_" in file]
    return sorted(tests, key=lambda file: (rank[file], file))[:_TEST_FILES]
