"""The `gazeloop` command as a process of its own, as a person starts it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
GAZELOOP = (sys.executable, "-m", "services.cli.main")
Done = subprocess.CompletedProcess[str]
_DEADLINE_S = 500
_NOTHING: Mapping[str, str] = {}


def environment() -> dict[str, str]:
    """The variables of a person who has set nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GAZELOOP_")}
    return kept | {"PYTHONPATH": str(ROOT)}


def gazeloop(data: Path, *arguments: str | Path, variables: Mapping[str, str] = _NOTHING) -> Done:
    """Run a command on a data folder to its end.

    Parameters
    ----------
    variables : environment variables that the person has set
    """
    return subprocess.run(
        [*GAZELOOP, "--data", data, *arguments],
        env={**environment(), **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
    )


async def exit_code_of(data: Path, *arguments: str, program: tuple[str, ...] = GAZELOOP) -> int:
    """Run a command on a data folder to its end, beside what this process does."""
    process = await asyncio.create_subprocess_exec(
        *(*program, "--data", str(data), *arguments),
        env=environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def killed_after(work: Callable[..., object], data: Path, *arguments: str) -> int:
    """The exit code of a command that is killed once this method of a store has done its work."""
    script = str(Path(__file__).with_name("killed_command.py"))
    program = (sys.executable, script, work.__module__, work.__qualname__)
    return await exit_code_of(data, *arguments, program=program)
