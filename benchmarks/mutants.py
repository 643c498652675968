"""Mutation tests: which small changes of the code no unit test notices.

    make mutants

Draws mutants by seed: first places, then an operator of cosmic-ray for each. Left out are
annotations, decorators and constants of modules (tuning). Each mutant is tried in a copy of what is
committed, with the unit tests nearest to its module by imports. Kernels are compiled anew, because
caches do not notice a change of what a kernel calls; NumPy alone cannot run them, since it refuses
sums of unsigned numbers. A mutant is killed if a test fails, or takes much longer than without it;
where the tests fail without it, it is not tried.

A line per mutant goes to `.mutants/results.jsonl`: a run that was stopped goes on from there.
"""

import argparse
import ast
import json
import os
import random
import subprocess
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
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


@cache
def nearest_tests(path: str) -> tuple[str, ...]:
    """The unit tests nearest to a file by imports."""
    seen, ring, tests = {path}, {path}, list[str]()
    while ring and len(tests) < _TEST_FILES:
        ring = {other for file in ring for other in importers()[file]} - seen
        seen |= ring
        tests += sorted(f for f in ring if f.startswith("tests/unit") and "/test_" in f)
    return tuple(tests[:_TEST_FILES])


class Trial:
    """A copy of what is committed, in which mutants are tried."""

    def __init__(self, folder: Path) -> None:
        archive = subprocess.run(["git", "archive", "HEAD"], check=True, capture_output=True)  # noqa: S607  # git's place varies
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        self._folder = folder
        self._seconds: dict[tuple[tuple[str, ...], bool], float | None] = {}

    def outcome(self, mutant: Mutant) -> str:
        """Whether the tests notice a mutant."""
        file = self._folder / mutant.path
        source, tests = file.read_text(), nearest_tests(mutant.path)
        kernels = mutant.path.endswith("_kernels.py")
        if not tests:
            return _SURVIVED
        seconds = self._unchanged(tests, kernels=kernels)
        if seconds is None:
            return _UNTRIED
        file.write_text(mutant.code(source))
        try:
            code = self._run(tests, 60 + 3 * seconds, kernels=kernels)
        except subprocess.TimeoutExpired:
            return _LATE
        finally:
            file.write_text(source)
        return _KILLED if code else _SURVIVED

    def _unchanged(self, tests: tuple[str, ...], *, kernels: bool) -> float | None:
        """How long these tests take without a mutant; None where they fail."""
        if (tests, kernels) not in self._seconds:
            started = time.monotonic()
            passed = not self._run(tests, None, kernels=kernels)
            self._seconds[tests, kernels] = time.monotonic() - started if passed else None
        return self._seconds[tests, kernels]

    def _run(self, tests: Sequence[str], limit_s: float | None, *, kernels: bool) -> int:
        pytest = [_PYTHON, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *tests]
        with tempfile.TemporaryDirectory() as fresh:
            compiled = fresh if kernels else str(self._folder / "compiled")
            paths = {"PYTHONPATH": str(self._folder), "NUMBA_CACHE_DIR": compiled}
            run = subprocess.run(  # noqa: S603  # ours
                pytest,
                check=False,
                cwd=self._folder,
                env=os.environ | paths,
                timeout=limit_s,
                capture_output=True,
            )
        return run.returncode


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
