"""Build the fp_miner."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.app.consumers.building import BuiltService, Parts
from services.contracts.flow import READS
from services.fp_miner.service import MineNeedles


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it."""
    async with parts.connected("fp_miner") as client:
        step = MineNeedles(
            frames=parts.stores.frames,
            matches=parts.stores.matches,
            shortlists=parts.stores.shortlists,
            outbox=client.outbox,
            settings=parts.settings,
            clock=parts.clock,
        )
        yield BuiltService([client.consumer(READS["fp_miner"], step)])
