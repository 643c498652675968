"""The table of frames for `missed-objects`: the newest ones that fit into its bytes."""

import random
from datetime import timedelta

import pytest

from services.contracts.identity import DetectorId, FrameId
from services.domain.ports.frames import FrameRecord
from services.retriever.logic import FrameFacts
from services.retriever.scoring.frame_table import FrameTable
from services.runtime.settings import Settings
from tests import samples

DETECTOR = samples.predictions_made().detector_id
NAMES = "abcdefghij"
SIZES = [0, 3, 1, 2, 0, 1, 4, 1, 2, 1]
"""Categories on each frame."""


def facts(
    number: int,
    drive: str | None = "d1",
    detector: DetectorId = DETECTOR,
    categories: int | None = None,
) -> FrameFacts:
    """A frame that was captured at this second, and predicted by this detector."""
    categories = SIZES[number] if categories is None else categories
    name = NAMES[number]
    captured = samples.frame_captured(name, drive)
    at = captured.captured_at + timedelta(seconds=number)
    found = [samples.detection(f"c{place}") for place in range(categories)]
    made = samples.predictions_made(*found, frame_id=name)
    captured = captured.model_copy(update={"captured_at": at})
    known = FrameFacts.of(FrameRecord(FrameId(name), captured, None, {detector: made}))
    assert known is not None
    return known


def table(most: int) -> FrameTable:
    return FrameTable(DETECTOR, Settings(miss_table_bytes=most))


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_frames_that_fit_are_kept_in_any_order_of_arrival(seed: int) -> None:
    draw = random.Random(seed)
    numbers = [*range(10), *range(10)]
    draw.shuffle(numbers)
    # h, i and j take 2,100 bytes. g does not fit beside them; the smaller e would, and is older.
    known = table(2_600)
    for number in numbers:
        known.put([facts(number)])
    assert known.frames() == set("hij")


def test_neighbours_along_a_drive_are_those_that_are_left() -> None:
    known = table(1_700)
    known.put(facts(number) for number in range(10))
    assert known.frames() == {"i", "j"}
    assert known.around([FrameId("j"), FrameId("a")]) == {"i", "j"}


def test_frames_without_a_drive_are_dropped_too() -> None:
    known = table(1)
    known.put([facts(0, None), facts(1, None)])
    assert known.frames() == set()
    known.put([facts(2, None)])
    assert known.frames() == set()


def test_frames_that_only_another_detector_predicted_are_no_neighbours() -> None:
    known = table(10_000)
    known.put([facts(4), facts(1, detector=DetectorId("ods@2")), facts(0)])
    assert known.around([FrameId("a")]) == {"a"}
    assert known.frames() == {"a", "e"}


def test_categories_are_those_of_the_frames_as_they_are_now() -> None:
    known = table(2_000)
    known.put(facts(number) for number in (6, 8, 9))  # of which the first does not fit
    assert known.categories == {"c0", "c1"}
    known.put([facts(8, categories=1)])
    assert known.categories == {"c0"}
    known.put([facts(8, categories=0), facts(9, categories=0)])
    assert known.categories == set()
