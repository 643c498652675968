"""What is learnt from and what is held out, before any network is built."""

import io
from collections.abc import Collection
from pathlib import Path

import pytest
from PIL import Image

from services.contracts.errors import InvalidImage, InvalidSettings
from services.embedder.training.choices import LabelRule, Looked
from services.embedder.training.data import TrainingData, held_out_drives, prepared
from services.embedder.training.labelled import Example, LabelledFrame, LabelledObject, examples
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings

LIMITS = ImageLimits.of(Settings())
DRIVES = ["d0", "d1", "d2", "d3"]
HELD_OUT = {"d0", "d1"}


def readable() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, "PNG")
    return file.getvalue()


def unreadable() -> bytes:
    raise InvalidImage("truncated")


def crops(broken: Collection[str]) -> list[Example]:
    sign = (LabelledObject("stop", (4, 4, 20, 20)),)
    frames = [
        LabelledFrame(f"f-{d}", d, unreadable if d in broken else readable, LIMITS, sign)
        for d in DRIVES
    ]
    return examples(frames, Looked.CROPS, LabelRule.MOST_FREQUENT)


def data_of(folder: Path, *broken: str) -> TrainingData:
    return prepared(crops(broken), HELD_OUT, 16, folder, lambda _: None)


@pytest.mark.parametrize(("share", "count"), [(0.01, 2), (0.5, 4), (0.75, 6), (0.9, 6)])
def test_two_drives_at_least_are_held_out_and_two_stay(share: float, count: int) -> None:
    drives = [f"d{number}" for number in range(8)]
    assert len(held_out_drives(drives, share, 0)) == count
    assert len(held_out_drives(drives[:4], share, 0)) == 2


@pytest.mark.parametrize("broken", [["d2", "d3"], ["d0", "d1"], DRIVES])
def test_images_that_cannot_be_read_are_named_where_too_few_are_left(
    broken: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InvalidSettings, match=f"images cannot be read, such as f-{broken[0]}"):
        data_of(tmp_path, *broken)

    assert len(data_of(tmp_path).labels) == len(DRIVES), "once the images are corrected"


def test_an_image_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    data = data_of(tmp_path, "d3")
    assert data.held_out.tolist() == [True, True, False]
    assert data.unreadable == ["f-d3"]
