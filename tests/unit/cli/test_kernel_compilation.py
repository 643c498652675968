"""The image's kernels are all compiled when it is built: services that start find them."""

import asyncio
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest
from numba.core.dispatcher import Dispatcher

import services
from services.app.kernel_compilation import compile_kernels
from services.contracts.identity import frame_hash
from services.evaluator.live.service import EvaluateMatches
from services.runtime.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.matches import InMemoryMatchStore
from tests.samples import published
from tests.unit.domain.oracle import matched, random_frames

Report = dict[str, list[str]]


@pytest.fixture(scope="module")
def compiled() -> Report:
    """What a process compiles that compiles all kernels, and then evaluates matches."""
    printed = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import print_report; print_report()"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    report: Report = json.loads(printed.splitlines()[-1])
    return report


def test_every_kernel_is_compiled(compiled: Report) -> None:
    assert compiled["left out"] == []


def test_an_evaluator_compiles_no_kernel_that_the_image_lacks(compiled: Report) -> None:
    assert compiled["by the evaluator"] == []


def print_report() -> None:
    compile_kernels()
    kernels = list(all_kernels())
    called = {kernel for kernel in kernels if kernel.signatures}
    before = signatures(kernels)
    asyncio.run(evaluate())
    report = {
        "left out": [name(kernel) for kernel in kernels if kernel not in reached(called)],
        "by the evaluator": sorted(signatures(kernels) - before),
    }
    sys.stdout.write(json.dumps(report))


def all_kernels() -> Iterator[Dispatcher]:
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if module.name.endswith("_kernels"):
            members = vars(import_module(module.name)).values()
            for kernel in members:
                if isinstance(kernel, Dispatcher) and kernel.py_func.__module__ == module.name:
                    yield kernel


def name(kernel: Dispatcher) -> str:
    return f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"


def signatures(kernels: list[Dispatcher]) -> set[str]:
    return {f"{name(kernel)}{types}" for kernel in kernels for types in kernel.signatures}


def reached(called: set[Dispatcher]) -> set[Dispatcher]:
    """The kernels that are called, and those that these call, which are compiled into them."""
    found, new = set(called), set(called)
    while new:
        new = {used for kernel in new for used in uses(kernel)} - found
        found |= new
    return found


def uses(kernel: Dispatcher) -> set[Dispatcher]:
    names, scope = kernel.py_func.__code__.co_names, kernel.py_func.__globals__
    modules = [scope[name] for name in names if isinstance(scope.get(name), ModuleType)]
    used = [scope.get(name) for name in names]
    used += [getattr(module, name, None) for module in modules for name in names]
    return {item for item in used if isinstance(item, Dispatcher)}


async def evaluate() -> None:
    """What an evaluator does from its start on."""
    frames = random_frames(1, 150)
    matches = published(
        match for n, frame in enumerate(frames) for match in matched(frame, vehicle=f"v{n % 2}")
    )
    store, clock = InMemoryMatchStore(), FakeClock()
    await store.record(matches[:-5])
    evaluator = EvaluateMatches(matches=store, settings=Settings(), clock=clock)
    await evaluator.rebuild()
    for batch in (matches[-5:], matches[:1]):
        clock.advance(60.0)
        await evaluator.run(batch)
        await evaluator.assess()
    await evaluator.forget({frame_hash(frames[0].frame_id)})
