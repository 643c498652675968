"""What a pass holds, and where boxes lie on a frame that was decoded at a smaller scale."""

import numpy as np
import pytest

from services.contracts.events import Image
from services.domain.ports.embeddings import EmbeddingRecord
from services.domain.splits import SplitRule
from services.embedder import logic
from services.embedder.logic import EmbeddingTask
from services.embedder.picture_vectors import PictureVectors
from services.runtime.settings import Settings
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.embedder import MeanColour
from tests.samples import detection, frame_captured, predictions_made

MEGAPIXEL = 4_000_000
MODEL = PictureVectors(MeanColour(), InMemoryBlobs(), Settings())


def task(
    frame_id: str = "f", width: int = 1000, height: int = 1000, kind: str = "image/png"
) -> EmbeddingTask:
    captured = frame_captured(frame_id)
    shown = captured.image.model_copy(update={"width": width, "height": height, "media_type": kind})
    made = predictions_made(detection(bbox=(10, 20, 30, 40)))
    record = EmbeddingRecord(
        captured.frame_id,
        captured=captured.model_copy(update={"image": shown}),
        revisions={made.detector_id: made.revision},
        waiting={made.detector_id: made},
    )
    found = logic.task_of(record, MODEL, 0.3, SplitRule(0.1))
    assert found is not None
    return found


def sizes(tasks: list[EmbeddingTask], frames: int, megapixels: float) -> list[int]:
    room = round(megapixels * MEGAPIXEL)
    parted = logic.passes(tasks, frames=frames, size_bytes=room, decoded_side=None)
    assert [task for group in parted for task in group] == tasks
    return [len(one) for one in parted]


def test_a_pass_is_full_by_frames_or_by_bytes() -> None:
    tasks = [task(f"f{number}") for number in range(5)]

    assert sizes(tasks, 2, 100) == [2, 2, 1]
    assert sizes(tasks, 100, 3) == [3, 2]
    assert sizes(tasks, 100, 100) == [5]
    assert sizes([], 2, 3) == []


def test_a_frame_that_is_too_large_by_itself_is_a_pass_of_its_own() -> None:
    tasks = [task("a"), task("b", width=9000), task("c"), task("d")]

    assert sizes(tasks, 10, 2.5) == [1, 1, 2]


@pytest.mark.parametrize(
    ("width", "height", "kind", "pixels"),
    [
        (1920, 1080, "image/jpeg", 960 * 540),
        (1920, 1080, "image/png", 1920 * 1080),
        (1280, 720, "image/jpeg", 1280 * 720),
        (4001, 3001, "image/jpeg", 1001 * 751),
        (9000, 9000, "image/jpeg", 1125 * 1125),
    ],
)
def test_a_decoded_jpeg_takes_what_its_scale_leaves(
    width: int, height: int, kind: str, pixels: int
) -> None:
    image: Image = task(width=width, height=height, kind=kind).captured.image

    assert logic.picture_bytes(image, 512) == 4 * pixels
    assert logic.picture_bytes(image, None) == 4 * width * height


def test_boxes_shrink_with_their_frame() -> None:
    within = logic.boxes_within(task(), (500, 250), (1000, 1000))

    assert np.array_equal(within, [[5, 5, 15, 10]])
