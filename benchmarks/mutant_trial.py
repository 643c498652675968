"""Tries mutants in a copy of what is committed.

A changed kernel and those that may call it are compiled again, because Numba's cache does not
notice a change of what a kernel calls. A test that fails alone without the mutant is left out.
"""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from benchmarks.mutant_imports import Repository
from benchmarks.mutant_tests import Executed, TestChoice

SURVIVED, KILLED, LATE = "survived", "killed", "late"
_PYTHON = str(Path(".venv/bin/python").absolute())
_MIN_S = 10.0
"""CPU seconds that any test may take; those that took more without a mutant, three times that."""
_COMPILING_S = 60.0
"""CPU seconds that kernels take to compile at most."""


@dataclass(frozen=True)
class Request:
    """Tests to run until one fails.

    Attributes
    ----------
    limits_s : by test, the CPU seconds that it may take, which a busy machine does not shorten
    compiled : the folder of the kernels that need not be compiled
    """

    limits_s: Mapping[str, float]
    compiled: str


@dataclass(frozen=True)
class Result:
    """How a run of tests ended.

    Attributes
    ----------
    late : a test took more time than its limit
    failed : the test that failed; empty where none did, or no test could be run
    """

    passed: bool
    late: bool
    failed: str
    cpu_s: float


@dataclass(frozen=True)
class Verdict:
    """What the tests said of a mutant.

    Attributes
    ----------
    tests : how many it was tried with
    """

    outcome: str
    tests: int
    failed: str
    cpu_s: float


class Copy:
    """A copy of what is committed, with its compiled kernels and what its tests execute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiled = folder / "compiled"
        self._executed = folder / "executed.json"

    def prepare(self) -> None:
        """Write the copy; a former copy of the same commit keeps what was compiled and measured."""
        commit = _git("rev-parse", "HEAD").decode()
        note = self.folder / "commit"
        is_new = not note.exists() or note.read_text() != commit
        if is_new:
            shutil.rmtree(self.folder, ignore_errors=True)
        with tarfile.open(fileobj=BytesIO(_git("archive", "HEAD"))) as tar:
            tar.extractall(self.folder, filter="data")
        if is_new:
            self._call("services.app.kernel_compilation")
            self._call("benchmarks.mutant_lines", str(self._executed))
            note.write_text(commit)

    def executed(self) -> Executed:
        """What a run of all tests has shown."""
        return Executed(**json.loads(self._executed.read_text()))

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Run a module of the copy."""
        return subprocess.Popen(  # noqa: S603  # ours
            [_PYTHON, "-m", module, *arguments],
            cwd=self.folder,
            env=os.environ
            | {
                "PYTHONPATH": str(self.folder),
                "NUMBA_CACHE_DIR": str(self.compiled),
                "OPENBLAS_NUM_THREADS": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _call(self, module: str, *arguments: str) -> None:
        with self.start(module, *arguments) as process:
            process.communicate()
        if process.returncode:
            raise RuntimeError(f"{module} ended with {process.returncode}")


class Trial:
    """Tries mutants in a copy."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        executed = copy.executed()
        self._seconds = executed.seconds
        self._repository = Repository(copy.folder)
        self._choice = TestChoice(executed, self._repository)
        self._runner = copy.start("benchmarks.mutant_forks")
        self._pass_unchanged: dict[tuple[str, ...], bool] = {}

    def verdict(self, path: str, line: int, code: str) -> Verdict:
        """What the tests say of a file with this code, which differs in a line."""
        tests = self._choice.tests_for(path, line)
        cpu_s = 0.0
        while tests:
            with self._changed(path, code), self._still_compiled(path) as (compiled, removed):
                result = self._run(tests, compiled, _COMPILING_S if removed else 0.0)
            cpu_s += result.cpu_s
            if result.passed:
                break
            blamed = [result.failed] if result.failed else tests
            if result.late or self._are_sound(blamed):
                outcome = LATE if result.late else KILLED
                return Verdict(outcome, len(tests), result.failed, cpu_s)
            tests = [test for test in tests if test not in blamed]
        return Verdict(SURVIVED, len(tests), "", cpu_s)

    def close(self) -> None:
        """Let the process end that runs the tests."""
        self._runner.communicate()

    def _are_sound(self, tests: Sequence[str]) -> bool:
        """Whether tests pass alone, without a mutant."""
        key = tuple(tests)
        if key not in self._pass_unchanged:
            result = self._run(tests, self._copy.compiled, _COMPILING_S)
            self._pass_unchanged[key] = result.passed
        return self._pass_unchanged[key]

    def _run(self, tests: Sequence[str], compiled: Path, compiling_s: float) -> Result:
        limits_s = {test: _MIN_S + compiling_s + 3 * self._seconds[test] for test in tests}
        request = Request(limits_s, str(compiled))
        stdin, stdout = self._runner.stdin, self._runner.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps(asdict(request)) + "\n")
        stdin.flush()
        return Result(**json.loads(stdout.readline()))

    @contextmanager
    def _changed(self, path: str, code: str) -> Iterator[None]:
        """A file with other code; afterwards as it was, its time too, which Numba compares."""
        file = self._copy.folder / path
        source, written = file.read_text(), file.stat()
        file.write_text(code)
        try:
            yield
        finally:
            file.write_text(source)
            os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))

    @contextmanager
    def _still_compiled(self, path: str) -> Iterator[tuple[Path, bool]]:
        """The compiled kernels but those that a change of a file concerns, and whether some are."""
        with tempfile.TemporaryDirectory(dir=self._copy.folder) as name:
            compiled = Path(name, "compiled")
            shutil.copytree(self._copy.compiled, compiled, copy_function=os.link)
            stems = {Path(file).stem for file in self._repository.dependents(path)}
            concerned = [file for file in compiled.glob("*/*") if file.name.split(".")[0] in stems]
            for file in concerned:
                file.unlink()
            yield compiled, bool(concerned)


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout  # noqa: S603, S607  # ours; git's place varies
