"""Finds frames without a drive that show a scene which their failure mode lists already."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from services.contracts.identity import FrameId, ModelId
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.look_alikes import look_alikes
from services.domain.shortlists.scored_candidates import Assignment, Key
from services.retriever import logic
from services.retriever.allocation.active_needles import ActiveNeedles
from services.retriever.sources import Sources
from services.runtime.progress import report_progress

_COMPARED_NEEDLES: Final = 50
"""Needles of a mode whose frames measure the distance between unrelated frames."""


class ListedScenes:
    """Compares frames by their global vectors, under one embedding model."""

    def __init__(self, needles: ActiveNeedles, sources: Sources, model: ModelId) -> None:
        self._needles = needles
        self._sources = sources
        self._model = model

    async def repeated(
        self, new: Sequence[Assignment], gone: Collection[FrameId], allocator: BudgetAllocator
    ) -> set[FrameId]:
        """The new frames without a drive that show a scene which their failure mode lists."""
        by_mode: defaultdict[Key, list[FrameId]] = defaultdict(list)
        for item in new:
            context = item.candidate.context
            if context.drive is None and context.frame not in gone:
                key = logic.key_of(*self._needles.mode_of(item.needle))
                by_mode[key].append(context.frame)
        found: set[FrameId] = set()
        for key, frames in by_mode.items():
            needles = sorted(allocator.needles(key))[:_COMPARED_NEEDLES]
            records = (await self._sources.needles.load(needles)).values()
            unrelated = {record.needle.frame_id for record in records if record.needle is not None}
            listed = sorted(allocator.frames(key).difference(frames, gone))
            vectors = await self._sources.vectors.load_frames(
                self._model, {*frames, *listed, *unrelated}
            )
            others = [vectors[frame] for frame in sorted(unrelated & vectors.keys())]
            rows = np.stack(others) if others else np.empty((0, 0), np.float32)
            # In a thread, because it takes seconds for thousands of frames.
            found |= await asyncio.to_thread(look_alikes, frames, listed, rows, vectors)
            report_progress()
        return found
