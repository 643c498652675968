"""Services in processes of their own, as in production, on the parts of a data folder."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from services.runtime.embedded.ports import steady_port

_STARTING_S = 120.0


@dataclass(frozen=True)
class Apart:
    """A service that runs, and where its metrics are."""

    name: str
    pid: int
    metrics: str


@asynccontextmanager
async def running_apart(names: Sequence[str], folder: Path) -> AsyncIterator[list[Apart]]:
    """These services run while this is open; the parts on the folder must run before and after.

    Raises
    ------
    ServiceEndedError
        One has ended instead of starting.
    """
    async with AsyncExitStack() as closing:
        started = [await closing.enter_async_context(_service(name, folder)) for name in names]
        yield [await _when_healthy(*item) for item in started]


class ServiceEndedError(Exception):
    """A service has ended by itself; why, it said on standard error."""


@asynccontextmanager
async def _service(name: str, folder: Path) -> AsyncIterator[tuple[str, Process, str]]:
    port = steady_port(folder, name)
    settings = {"GAZELOOP_METRICS_PORT": str(port), "GAZELOOP_LOG_LEVEL": "WARNING"}
    command = ["-m", "services.cli.main", "--data", str(folder), "run", name]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, **settings},
        # Ctrl-C is for the benchmark: services end after what is published is done with.
        start_new_session=True,
    )
    try:
        yield name, process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@retry(
    retry=retry_if_exception_type(httpx.HTTPError),
    stop=stop_after_delay(_STARTING_S),
    wait=wait_fixed(0.2),
    reraise=True,
)
async def _when_healthy(name: str, process: Process, url: str) -> Apart:
    if process.returncode is not None:
        raise ServiceEndedError(f"{name} ended with {process.returncode}")
    async with httpx.AsyncClient() as client:
        (await client.get(f"{url}/healthz")).raise_for_status()
    return Apart(name, process.pid, f"{url}/metrics")
