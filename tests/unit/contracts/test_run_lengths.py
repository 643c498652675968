"""Masks that native code could not read safely are refused with their event."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle

from services.contracts import codec, events
from services.contracts.errors import UnreadableEvent
from services.contracts.events import Detection, Rle
from services.contracts.run_lengths import run_lengths
from tests import samples


@pytest.mark.parametrize("seed", range(50))
def test_run_lengths_are_those_that_pycocotools_compresses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 400, 2))
    runs: list[int] = []
    while (left := height * width - sum(runs)) > 0:
        # Also 0, short and long ones, whose differences take one to four characters.
        runs.append(int(min(left, rng.choice([0, 3, 40, 2000, 40000]))))
    encoded = rle.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    counts = encoded["counts"].decode()
    assert run_lengths(counts) == runs
    assert Rle(size=(height, width), counts=counts).counts == counts


@pytest.mark.parametrize("counts", ["o", "0o", "oooooooooooooo0", "\x7f", "€", "/", "O"])
def test_what_is_not_run_lengths_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        run_lengths(counts)


@pytest.mark.parametrize(
    ("size", "counts"), [([4, 4], "04"), ([4, 4], "0o"), ([2**20, 2**20], "0"), ([4, 4], "")]
)
def test_an_event_with_a_mask_that_does_not_fill_its_size_is_unreadable(
    size: list[int], counts: str
) -> None:
    event = json.loads(codec.encode(samples.predictions_made(samples.detection())))
    event["detections"][0]["mask"] = {"size": size, "counts": counts}
    with pytest.raises(UnreadableEvent, match="run lengths"):
        codec.decode("gaze.predictions", json.dumps(event).encode())


def test_a_mask_is_checked_once_wherever_it_is_put(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def lengths(counts: str) -> list[int]:
        checked.append(counts)
        return run_lengths(counts)

    monkeypatch.setattr(events, "run_lengths", lengths)
    mask = Rle(size=(4, 4), counts="`0")
    Detection(category="car", score=0.5, bbox=(0, 0, 4, 4), mask=mask)
    assert checked == ["`0"]
