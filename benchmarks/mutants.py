"""Mutation tests: which small changes of the code no unit test notices.

    make mutants

Draws mutants by seed: first places, then an operator of cosmic-ray for each. Left out are
annotations, decorators and constants of modules (tuning). Each mutant is tried in a copy of what is
committed, with the unit tests that execute its line (`mutant_tests.py`). Kernels are compiled:
NumPy alone cannot run them, since it refuses sums of unsigned numbers. A mutant is killed if a test
fails, or the tests take much more CPU than without it.

A line per mutant goes to `.mutants/results.jsonl`: a run that was stopped goes on from there.
"""

import argparse
import ast
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import chdir, closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from rich.console import Console

from benchmarks.mutant_trial import KILLED, LATE, SURVIVED, Copy, Trial

PACKAGES = ("domain", "fp_miner", "retriever", "evaluator")
RESULTS = Path(".mutants/results.jsonl").absolute()
_LEFT_OUT = ("core/RemoveDecorator", "core/VariableReplacer", "core/VariableInserter")

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


def recorded() -> dict[Mutant, str]:
    """The outcomes of former runs; of a mutant that was tried again, the last."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {Mutant(**line["mutant"]): line["outcome"] for line in map(json.loads, lines)}


def try_all(mutants: Sequence[Mutant], trial: Trial) -> None:
    """Try mutants, and write a line for each."""
    with RESULTS.open("a") as results:
        for mutant in mutants:
            code = mutant.code(Path(mutant.path).read_text())
            verdict = trial.verdict(mutant.path, mutant.line, code)
            results.write(json.dumps({"mutant": asdict(mutant), **asdict(verdict)}) + "\n")
            results.flush()


def main() -> None:
    """Read the options, try mutants, print which survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    args = parser.parse_args()
    copy = Copy(RESULTS.with_name("copy"))
    copy.prepare()
    with chdir(copy.folder):
        mutants, known = drawn(args.count, args.seed), recorded()
        done = (KILLED, LATE) if args.again else (KILLED, LATE, SURVIVED)
        with closing(Trial(copy)) as trial:
            try_all([mutant for mutant in mutants if known.get(mutant) not in done], trial)
    known = recorded()
    console = Console(width=160)
    for mutant in mutants:
        if known[mutant] == SURVIVED:
            console.print(f"{mutant.path}:{mutant.line} {mutant.operator} {mutant.occurrence}")
    killed = sum(known[mutant] != SURVIVED for mutant in mutants)
    console.print(f"{killed} of {len(mutants)} killed: {killed / len(mutants):.1%}")


if __name__ == "__main__":
    main()
