"""The locks have a wheel of each package for macOS on ARM and for Linux on ARM.

Nothing is installed, and no test runs there. A package index is asked, so `make test` skips these
tests and `make platforms` runs them.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.checking import ROOT, check

pytestmark = pytest.mark.skipif(
    "GAZELOOP_TEST_INDEX" not in os.environ,
    reason="asks a package index: `make platforms` does",
)
LOCKS = ("runtime", "server", "services")
# torch's wheels are for macOS 14, where uv takes 13 unless told; OpenVINO's for Linux need glibc
# 2.35, as Debian 12 and Ubuntu 22.04 have.
PLATFORMS = ("aarch64-apple-darwin", "aarch64-manylinux_2_36")
MACOS = "14.0"
# Has no wheel for Linux on ARM: pip builds it.
BUILT_FROM_SOURCE = "faust-streaming"


@pytest.fixture(scope="module")
def index() -> list[str]:
    """The option that names pip's package index, where pip is told of another than PyPI."""
    configured = check(sys.executable, "-m", "pip", "config", "list")
    return [f"--default-index={url}" for url in re.findall(r"\bindex-url='(.*)'", configured)[:1]]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_each_package_for_a_platform(
    lock: str, platform: str, index: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = ROOT / "requirements" / f"{lock}.txt"
    resolved = tmp_path / "pylock.toml"
    monkeypatch.setenv("MACOSX_DEPLOYMENT_TARGET", MACOS)
    command = ["pip", "compile", "--quiet", "--no-config", "--system-certs", "--no-deps"]
    command += ["--only-binary", ":all:", "--no-binary", BUILT_FROM_SOURCE, *index]
    command += ["--python-platform", platform, "--python-version", "3.11"]
    command += ["--format", "pylock.toml", "--output-file", str(resolved), str(locked)]
    done = subprocess.run(
        [sys.executable, "-m", "uv", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    packages = tomllib.loads(resolved.read_text())["packages"]
    assert len(packages) > 100
    allowed = set(re.findall(r"--hash=sha256:(\w+)", locked.read_text()))
    assert [
        package["name"] for package in packages if not allowed.intersection(_hashes(package))
    ] == []


def _hashes(package: dict[str, Any]) -> list[str]:
    """The sha256 of each file of a package that fits the platform."""
    return [
        file["hashes"]["sha256"]
        for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
    ]
