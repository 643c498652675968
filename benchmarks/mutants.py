"""Mutation tests: which small changes of the code no unit test notices.

    make mutants

Draws mutants by seed: first places, then an operator of cosmic-ray for each. Left out are
annotations, decorators and constants of modules (tuning). Each mutant is tried in a copy of what is
committed, with the unit tests nearest to its module by imports. A changed kernel and those that may
call it are compiled again, because Numba's cache does not notice a change of what a kernel calls;
NumPy alone cannot run kernels, since it refuses sums of unsigned numbers. A mutant is killed if a
test fails, or takes much more CPU than without it; where the tests fail without it, it is not
tried.

A line per mutant goes to `.mutants/results.jsonl`: a run that was stopped goes on from there.
"""

import argparse
import ast
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from rich.console import Console

PACKAGES = ("domain", "fp_miner", "retriever", "evaluator")
RESULTS = Path(".mutants/results.jsonl")
_LEFT_OUT = ("core/RemoveDecorator", "core/VariableReplacer", "core/VariableInserter")
_TEST_FILES = 6
"""The most test files that a mutant is tried with, the nearest ones."""
_PYTHON = str(Path(".venv/bin/python").absolute())
_SURVIVED, _KILLED, _LATE, _UNTRIED = "survived", "killed", "late", "untried"
_COMPILING_S = 60.0
"""CPU seconds that kernels take to compile at most."""
_WAITING_S = 600.0
"""The longest run of tests, for mutants that wait for ever without using CPU."""

Place = tuple[str, tuple[int, int], str]
"""A file, a position in it, and what can be changed there."""


@dataclass(frozen=True)
class Mutant:
    """A change of a file: the n-th occurrence of what an operator changes.

    Attributes
    ----------
    digest : of the file, so that results of former contents are not taken for those of this one
    """

    path: str
    digest: str
    line: int
    operator: str
    occurrence: int

    def code(self, source: str) -> str:
        """The changed file."""
        return str(mutate_code(source, get_operator(self.operator)(), self.occurrence))


def left_out(source: str) -> set[int]:
    """The lines of annotations, decorators and module constants."""
    tree = ast.parse(source)
    nodes: list[ast.AST] = [
        node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            nodes += [argument.annotation for argument in arguments if argument.annotation]
            nodes += [node.returns] if node.returns else []
        elif isinstance(node, ast.AnnAssign):
            nodes.append(node.annotation)
    spans = [(node.lineno, node.end_lineno) for node in nodes]  # type: ignore[attr-defined]  # all have them
    return {line for first, last in spans for line in range(first, last + 1)}


def places_of(path: str) -> dict[Place, list[Mutant]]:
    """All mutants of a file, by place."""
    source = Path(path).read_text()
    tree, without = get_ast(source), left_out(source)
    digest = sha256(source.encode()).hexdigest()[:16]
    found = defaultdict[Place, list[Mutant]](list)
    for name in operator_names():
        if name in _LEFT_OUT:
            continue
        operator, occurrence = get_operator(name)(), 0
        for node in ast_nodes(tree):
            for start, _ in operator.mutation_positions(node):
                if start[0] not in without:
                    family = name.split("_")[0]
                    mutant = Mutant(path, digest, start[0], name, occurrence)
                    found[path, start, family].append(mutant)
                occurrence += 1
    return found


def drawn(count: int, seed: int) -> list[Mutant]:
    """So many mutants, at most one per place; the same for the same seed and code."""
    places: dict[Place, list[Mutant]] = {}
    for package in PACKAGES:
        for file in sorted(Path("services", package).rglob("*.py")):
            places |= places_of(str(file))
    draw = random.Random(seed)  # noqa: S311  # no secret
    return [draw.choice(places[place]) for place in draw.sample(sorted(places), count)]


def imported(file: Path) -> Iterator[str]:
    """The files that a file imports, in this repository."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            yield from (part.replace(".", "/") + ".py" for part in parts)


@cache
def importers() -> dict[str, set[str]]:
    """The files that import each file."""
    found = defaultdict[str, set[str]](set)
    for folder in ("services", "tests"):
        for file in Path(folder).rglob("*.py"):
            for other in imported(file):
                found[other].add(str(file))
    return found


def dependents(path: str) -> set[str]:
    """The files that import a file, directly or by others, and itself."""
    seen, ring = {path}, {path}
    while ring:
        ring = {other for file in ring for other in importers()[file]} - seen
        seen |= ring
    return seen


@cache
def nearest_tests(path: str) -> tuple[str, ...]:
    """The unit tests nearest to a file by imports; first the one that is named after it."""
    named = f"test_{Path(path).name}"
    seen, ring, tests = {path}, {path}, list[str]()
    while ring and len(tests) < _TEST_FILES:
        ring = {other for file in ring for other in importers()[file]} - seen
        seen |= ring
        tests += sorted(f for f in ring if f.startswith("tests/unit") and "/test_" in f)
    tests.sort(key=lambda test: Path(test).name != named)
    return tuple(tests[:_TEST_FILES])


class Trial:
    """A copy of what is committed, in which mutants are tried."""

    def __init__(self, folder: Path) -> None:
        archive = subprocess.run(["git", "archive", "HEAD"], check=True, capture_output=True)  # noqa: S607  # git's place varies
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        self._folder = folder
        self._compiled = folder / "compiled"
        self._seconds: dict[str, float | None] = {}

    def outcome(self, mutant: Mutant) -> str:
        """Whether the tests notice a mutant."""
        file, tests = self._folder / mutant.path, nearest_tests(mutant.path)
        if not tests:
            return _SURVIVED
        seconds = [self._unchanged(test) for test in tests]
        if None in seconds:
            return _UNTRIED
        limit_s = _COMPILING_S + 3 * sum(filter(None, seconds))
        source, written = file.read_text(), file.stat()
        file.write_text(mutant.code(source))
        try:
            with self._still_compiled(mutant.path) as compiled:
                passed = self._passes(tests, compiled, limit_s)
        except TimeoutError:
            return _LATE
        finally:
            file.write_text(source)
            os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))  # Numba compares it
        return _SURVIVED if passed else _KILLED

    def _unchanged(self, test: str) -> float | None:
        """The CPU seconds that a file of tests takes without a mutant; None where it fails."""
        if test not in self._seconds:
            before = _children_s()
            passed = self._passes([test], self._compiled)
            self._seconds[test] = _children_s() - before if passed else None
        return self._seconds[test]

    @contextmanager
    def _still_compiled(self, path: str) -> Iterator[Path]:
        """A copy of the compiled kernels without those that a change of a file concerns."""
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            compiled = Path(name, "compiled")
            shutil.copytree(self._compiled, compiled, copy_function=os.link)
            for dependent in dependents(path):
                for file in compiled.glob(f"*/{Path(dependent).stem}.*"):
                    file.unlink()
            yield compiled

    def _passes(self, tests: Sequence[str], compiled: Path, limit_s: float | None = None) -> bool:
        """Whether these tests pass.

        Parameters
        ----------
        compiled : the kernels that need not be compiled
        limit_s : seconds of CPU, which a busy machine does not shorten

        Raises
        ------
        TimeoutError
            They were not done within the limit.
        """
        compiled.mkdir(exist_ok=True)
        limit = (math.ceil(limit_s), resource.RLIM_INFINITY) if limit_s else None
        try:
            run = subprocess.run(  # noqa: S603  # ours
                [_PYTHON, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *tests],
                check=False,
                cwd=self._folder,
                env=os.environ
                | {"PYTHONPATH": str(self._folder), "NUMBA_CACHE_DIR": str(compiled)},
                timeout=limit_s and limit_s + _WAITING_S,
                capture_output=True,
                preexec_fn=limit and partial(resource.setrlimit, resource.RLIMIT_CPU, limit),
            )
        except subprocess.TimeoutExpired as exc:
            raise TimeoutError from exc
        if run.returncode == -signal.SIGXCPU:
            raise TimeoutError
        return run.returncode == 0


def _children_s() -> float:
    """The CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the options, try mutants, print which survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    console = Console(width=160)
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    tried = {Mutant(**line["mutant"]): line["outcome"] for line in map(json.loads, lines)}
    mutants = drawn(args.count, args.seed)
    with tempfile.TemporaryDirectory() as folder, RESULTS.open("a") as results:
        trial = Trial(Path(folder))
        for mutant in mutants:
            if mutant not in tried:
                tried[mutant] = trial.outcome(mutant)
                line = {"mutant": asdict(mutant), "outcome": tried[mutant]}
                results.write(json.dumps(line) + "\n")
                results.flush()
    for outcome in (_UNTRIED, _SURVIVED):
        for mutant in mutants:
            if tried[mutant] == outcome:
                console.print(f"{outcome} {mutant.path}:{mutant.line} {mutant.operator}")
    judged = [mutant for mutant in mutants if tried[mutant] != _UNTRIED]
    killed = sum(tried[mutant] != _SURVIVED for mutant in judged)
    console.print(f"{killed} of {len(judged)} killed: {killed / len(judged):.1%}")


if __name__ == "__main__":
    main()
