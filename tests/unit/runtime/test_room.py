"""No data folder is begun, or gone on with, on a disk that is nearly full."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from services.contracts.errors import DiskFull
from services.runtime.embedded.room import TO_GO_ON_BYTES, TO_START_BYTES, check_room, room_kept


def _left(size: int) -> Callable[[Path], int]:
    return lambda _: size


def test_a_start_needs_room_for_what_the_parts_write_first(tmp_path: Path) -> None:
    check_room(tmp_path, _left(TO_START_BYTES))
    with pytest.raises(DiskFull, match="has 100 MB left, and 201 MB are needed to start"):
        check_room(tmp_path, _left(100_000_000))


async def test_what_runs_is_ended_before_the_disk_is_full(tmp_path: Path) -> None:
    left = [TO_GO_ON_BYTES, TO_GO_ON_BYTES - 1]
    ended = asyncio.Event()
    with pytest.RaisesGroup(DiskFull):
        async with room_kept(tmp_path, lambda _: left.pop(0)):
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
    assert ended.is_set()


async def test_with_room_nothing_is_ended(tmp_path: Path) -> None:
    looked = asyncio.Event()

    def left(_: Path) -> int:
        looked.set()
        return TO_GO_ON_BYTES

    async with room_kept(tmp_path, left):
        await looked.wait()
        await asyncio.sleep(0)  # in which a check that failed would cancel this
