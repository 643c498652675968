import numpy as np

from services.domain.statistics.growing_rows import GrowingRows


def test_rows_stay_as_they_were_added_however_many_come() -> None:
    growing, rows = GrowingRows(np.float32), np.random.default_rng(1).normal(size=(100, 3))
    for count, row in enumerate(rows.astype(np.float32), start=1):
        growing.add(row)
        assert len(growing) == count
        assert np.array_equal(growing.rows, rows[:count].astype(np.float32))


def test_what_is_written_to_a_row_is_kept_when_more_come() -> None:
    growing = GrowingRows(np.bool_)
    for _ in range(16):
        growing.add(False)
    growing.rows[3] = True
    growing.add(False)
    assert np.flatnonzero(growing.rows).tolist() == [3]


def test_room_is_not_made_anew_for_every_row() -> None:
    growing = GrowingRows(np.float32)
    held = set()
    for number in range(1000):
        growing.add([number])
        assert growing.rows.base is not None
        held.add(len(growing.rows.base))
    assert len(held) == 7
