"""Runs services in this process until a signal ends it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from services.runtime.http.health import Check, HealthServer
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serving(
    services: Sequence[ConsumingService],
    settings: Settings,
    needs: Mapping[str, Check] | None = None,
) -> AsyncIterator[HealthServer]:
    """Run the services and serve their health while the context is open; closing drains them.

    Parameters
    ----------
    needs : further readiness checks; they do not affect liveness
    """
    checks = {**(needs or {}), **{service.name: service.unhealthy for service in services}}
    alive = {service.name: service.stalled for service in services}
    with HealthServer(settings.host, settings.metrics_port, checks, alive=alive) as health:
        try:
            await _all_started(services)
            yield health
        finally:
            await asyncio.gather(*(service.stop() for service in services))


async def _all_started(services: Sequence[ConsumingService]) -> None:
    # Not a TaskGroup, so that the user sees the error of one service and no exception group.
    starting = [asyncio.create_task(service.start()) for service in services]
    try:
        await asyncio.gather(*starting)
    except BaseException:
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        raise


async def until_signalled() -> None:
    """Wait for SIGTERM or SIGINT; a second signal has its default effect."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stopping.set)
    try:
        await stopping.wait()
        log.info("told_to_end")
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
