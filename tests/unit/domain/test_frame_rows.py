import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.identity import FrameId
from services.domain.metrics.frame_rows import FrameRows

ROW = np.dtype([("number", "i4"), ("right", "?")])
ROWS = st.lists(st.tuples(st.integers(-9, 9), st.booleans()), max_size=4)
FRAMES = st.sampled_from([FrameId(name) for name in "abcdef"])


@given(st.lists(st.tuples(FRAMES, st.none() | ROWS), max_size=40))
def test_a_frame_has_the_rows_that_were_put_last(
    changes: list[tuple[FrameId, list[tuple[int, bool]] | None]],
) -> None:
    table, expected = FrameRows(ROW), dict[FrameId, list[tuple[int, bool]]]()
    for frame_id, rows in changes:
        if rows is None:
            table.drop(frame_id)
            expected.pop(frame_id, None)
        else:
            table.put(frame_id, np.array(rows[:1], ROW), np.array(rows[1:], ROW))
            expected[frame_id] = rows

        found, counts = table.of(sorted(expected))
        assert table.frame_ids == expected.keys()
        assert found.tolist() == [row for name in sorted(expected) for row in expected[name]]
        assert counts.tolist() == [len(expected[name]) for name in sorted(expected)]


def test_replaced_rows_are_not_kept() -> None:
    table, rows = FrameRows(ROW), np.zeros(10_000, ROW)
    tracemalloc.start()
    for number in range(100):
        table.put(FrameId("ab"[number % 2]), rows)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 5 * rows.nbytes
