"""Gazeloop as installed from its wheel, with no checkout around."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.e2e.command_line import ROOT

_BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
_DEADLINE_S = 500
_ALONE = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "NUMBA_DISABLE_JIT": "1"}
"""Compiling the kernels of a new installation takes longer than a small demo without them."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built beside the checkout so that nothing is left in it."""
    copy = tmp_path_factory.mktemp("source")
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "services", copy / "services", ignore=leave)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    _run([sys.executable, "-c", _BUILD], cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `gazeloop` command of an environment that has the wheel, and what it depends on.

    The dependencies are those of this environment, whose checkout stays out of sight: a `.pth` file
    adds a folder to the path, and does not read the `.pth` files in it.
    """
    folder = tmp_path_factory.mktemp("installed")
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    _run([sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), *install])
    return folder / "bin" / "gazeloop"


def _run(command: list[str], cwd: Path | None = None) -> str:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("GAZELOOP_")
    }
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=kept | _ALONE | {"XDG_DATA_HOME": str(cwd)},
        timeout=_DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "services"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    with zipfile.ZipFile(wheel) as archive:
        missing = set(listed.stdout.split()) - set(archive.namelist())
    assert {name for name in missing if not name.endswith("/.gitignore")} == set()


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    small = ["demo", "--drives", "4", "--frames", "4", "--montages", "0"]
    printed = _run([str(installed), "--data", "data", *small], cwd=tmp_path)
    assert "Mean average precision" in printed
    assert str(ROOT) not in printed
