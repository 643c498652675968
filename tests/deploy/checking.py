"""What the checks of deploy/ and k8s/ share: the tools, and reading what is there."""

import importlib
import json
import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

from services.app.doctor.bounds import BOUNDS, settings_of
from services.runtime.observability import detector_metrics, metrics
from services.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools"


def missing(what: str) -> None:
    """Fail where everything must be there, skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str) -> str:
    """The path of a tool that deploy/tools.sh fetches."""
    path = TOOLS / name
    if not path.exists():
        missing(f"{name} is not there: run deploy/tools.sh")
    return str(path)


def module(name: str) -> ModuleType:
    """A module that only these checks need."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(f"{name} is not installed: make test installs it")
        raise


def check(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    """What a tool says; the test fails with it where the tool finds fault."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML stream."""
    yaml = module("yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [item for item in yaml.load_all(text, loader) if item]


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's only document."""
    (document,) = documents(path.read_text())
    return document


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object."""
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def cache_bytes(part: str) -> int:
    """What a part's caches may hold by default."""
    settings = Settings()
    held = [settings_of(item, settings).items() for item in BOUNDS if item.part == part]
    return sum(int(str(size)) for names in held for name, size in names if name.endswith("_bytes"))


def exported_names() -> set[str]:
    """Names of all series that our metrics can have, as a query would write them."""
    names: set[str] = set()
    for var in (vars(metrics) | vars(detector_metrics)).values():
        if isinstance(var, MetricWrapperBase):
            name, kind = var._name, str(var._type)
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
            names.update(name + suffix for suffix in suffixes.get(kind, ("",)))
    return names
