"""Offsets of a partition that have no record: expired, compacted, or of an aborted transaction."""

import asyncio
import tracemalloc
from collections import defaultdict
from typing import Any

from faust.transport import consumer as faust_consumer
from faust.types.tuples import TP

from services.runtime.kafka.stream import _StreamConsumer

PARTITION = TP("gaze.frames", 0)


def consumer(committed: int) -> Any:
    """A consumer whose group has committed this offset."""
    consumer: Any = _StreamConsumer.__new__(_StreamConsumer)  # its own brings a thread with it
    consumer._committed_offset = {PARTITION: committed}
    consumer._acked = defaultdict(list)
    consumer._acked_index = defaultdict(set)
    consumer._gap = defaultdict(vars(faust_consumer)["IntervalTree"])
    return consumer


async def test_millions_that_expired_before_a_start_take_no_memory() -> None:
    group = consumer(committed=5)
    tracemalloc.start()
    await group._add_gap(PARTITION, 6, 1_000_000)
    group._acked[PARTITION].append(1_000_000)
    assert group._new_offset(PARTITION) == 1_000_001
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


async def test_nothing_is_committed_beyond_a_record_that_is_not_acknowledged() -> None:
    group = consumer(committed=5)
    await group._add_gap(PARTITION, 7, 20)  # 5 and 6 are delivered, 20 comes next
    assert group._new_offset(PARTITION) is None
    group._acked[PARTITION] += [5, 6]
    assert group._new_offset(PARTITION) == 7
    group._committed_offset[PARTITION] = 7
    group._acked[PARTITION].append(20)
    assert group._new_offset(PARTITION) == 21


async def test_a_commit_under_way_does_not_undo_it() -> None:
    group = consumer(committed=5)
    group._commit_fut = asyncio.Future()
    adding = asyncio.create_task(group._add_gap(PARTITION, 6, 20))  # 5 is being committed
    await asyncio.sleep(0)
    group._committed_offset[PARTITION] = 6
    commit, group._commit_fut = group._commit_fut, None
    commit.set_result(None)
    await adding
    group._acked[PARTITION].append(20)
    assert group._new_offset(PARTITION) == 21
