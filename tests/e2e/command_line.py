"""The `gazeloop` command as a process of its own, as a person starts it."""

import os
import subprocess
import sys
from collections.abc import Mapping
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
