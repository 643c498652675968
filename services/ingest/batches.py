"""Batches of opened frames."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.domain.ports.held_corrections import HeldCorrection
from services.formats.frames import OpenedFrame
from services.formats.items import Rejection

MAX_BATCH_BYTES = 64 * 1024 * 1024
"""Maximum bytes of images in memory; a batch ends when it reaches them."""


@dataclass(frozen=True)
class Batch:
    """Opened frames to publish, and what has become of the others so far.

    Attributes
    ----------
    rejections : refused frames and boxes, which become dead letters
    erased : the number of frames that were erased on request, of which nothing is kept
    held : corrections that wait for an answer
    settled : the number of corrections that an earlier run held, and that do not wait any more
    """

    frames: Sequence[OpenedFrame]
    rejections: Sequence[Rejection]
    erased: int = 0
    held: Sequence[HeldCorrection] = ()
    settled: int = 0


def batches_of(opened: Iterable[OpenedFrame | Rejection], size: int) -> Iterator[Batch]:
    """Batches of up to `size` frames and rejections, fewer where the images are large."""
    frames: list[OpenedFrame] = []
    rejections: list[Rejection] = []
    for item in opened:
        if isinstance(item, Rejection):
            rejections.append(item)
        else:
            frames.append(item)
            rejections += item.rejections
        image_bytes = sum(len(frame.content or b"") for frame in frames)
        if image_bytes >= MAX_BATCH_BYTES or len(frames) + len(rejections) >= size:
            yield Batch(frames, rejections)
            frames, rejections = [], []
    if frames or rejections:
        yield Batch(frames, rejections)
