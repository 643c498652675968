"""The process of one service imports the code of that service, and of no other."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.app.consumers import registry
from services.app.pages import server
from services.contracts.flow import OPTIONAL_SERVICES, SERVICES

ROOT = Path(__file__).parents[3]
BUILDERS = {**server.BUILDERS, **registry.BUILDERS}
PACKAGES = {"ingest", "embedder", "fp_miner", "retriever", "evaluator"}
WITHIN = {"bridge": "ingest"}
"""Services whose code is a part of another's package."""

# A child per builder, forked from a process that has imported what they share.
_IMPORTS = """
import importlib, json, os, sys
import services.app.assembly

for module in sys.argv[1:]:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        importlib.import_module(module)
        print(json.dumps({module: sorted(sys.modules)}), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, module
"""


@pytest.fixture(scope="module")
def imported() -> Mapping[str, set[str]]:
    """The modules that the process of each service has imported, once its service is built."""
    lines = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _IMPORTS, *BUILDERS.values()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    modules = {name: set(found) for line in lines for name, found in json.loads(line).items()}
    return {service: modules[module] for service, module in BUILDERS.items()}


def test_every_service_has_one_builder() -> None:
    assert set(BUILDERS) == {*SERVICES, *OPTIONAL_SERVICES}


def test_no_builder_may_import_another() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "independence"
    )
    assert set(contract["modules"]) == set(BUILDERS.values())


@pytest.mark.parametrize("service", sorted(BUILDERS))
def test_a_process_imports_its_own_service_only(
    service: str, imported: Mapping[str, set[str]]
) -> None:
    loaded = {name.split(".")[1] for name in imported[service] if name.startswith("services.")}
    assert loaded & PACKAGES == PACKAGES & {WITHIN.get(service, service)}


@pytest.mark.parametrize("service", sorted(BUILDERS))
def test_a_process_imports_no_library_before_it_knows_that_it_needs_it(
    service: str, imported: Mapping[str, set[str]]
) -> None:
    # Which of them embedder and retriever need depends on the settings.
    assert not {"torch", "torchvision", "openvino", "scipy", "qdrant_client"} & imported[service]
