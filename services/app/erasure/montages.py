"""Montages and pictures of searches in the data folder that may show erased frames."""

import asyncio
from collections.abc import Collection
from pathlib import Path

from services.app.drawn_pictures import montages_of, pictures_in
from services.contracts.identity import FrameId
from services.runtime.stores.mongo import Database, translated


class MontageTraces:
    """Montages of needles on frames, and of needles that ever had the frames on their shortlists.

    Parameters
    ----------
    folder : where montages are drawn by default; others are their owner's
    """

    name = "montages"

    def __init__(self, database: Database, folder: Path) -> None:
        self._needles = database["needles"]
        self._shortlists = database["shortlists"]
        self._folder = folder

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        return len(await self._naming(frame_ids))

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        for path in await self._naming(frame_ids):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _naming(self, frame_ids: Collection[FrameId]) -> list[Path]:
        if not self._folder.is_dir():
            return []
        ids = {"$in": list(frame_ids)}
        with translated():
            needles = await self._needles.distinct("_id", {"frame_id": ids})
            needles += await self._shortlists.distinct("_id", {"moved.frame": ids})
        return montages_of(needles, self._folder)


class SearchPictures:
    """What `gazeloop search` drew: every picture, because none says which frames it shows.

    Parameters
    ----------
    folder : where they are drawn by default; others are their owner's
    """

    name = "pictures of searches, of whatever frames"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        return len(self._pictures()) if frame_ids else 0

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        for path in self._pictures() if frame_ids else ():
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _pictures(self) -> list[Path]:
        return pictures_in(self._folder)
