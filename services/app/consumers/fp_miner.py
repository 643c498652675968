"""Build the fp_miner."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.app.consumers.building import BuiltService, Parts
from services.contracts.flow import READS
from services.fp_miner.service import MineNeedles
from services.runtime.embedded.split import note_split
from services.runtime.erased_frames import ErasedFramesLeftOut
from services.runtime.stores.frame_traces import ImageTraces, of_fp_miner


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it; the data folder remembers by which rule it splits frames."""
    note_split(parts.settings)
    async with parts.connected("fp_miner") as client:
        step = MineNeedles(
            frames=parts.stores.frames,
            matches=parts.stores.matches,
            shortlists=parts.stores.shortlists,
            outbox=client.outbox,
            settings=parts.settings,
            clock=parts.clock,
        )
        database = parts.stores.database
        served = ErasedFramesLeftOut(
            "fp_miner",
            step,
            parts.stores.tombstones,
            client.outbox,
            traces=[ImageTraces(database, None), *of_fp_miner(database)],
            forwards=True,
        )
        yield BuiltService([client.consumer(READS["fp_miner"], served)])
