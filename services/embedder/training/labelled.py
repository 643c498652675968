"""Turns annotated frames into training examples, each with one label."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL.Image import Image, Resampling
from PIL.Image import new as new_image

from services.contracts.identity import Box
from services.embedder.models.crops import GREY, Pixels, cut
from services.embedder.training.choices import LabelRule, Looked
from services.runtime.images import Decoded, ImageLimits, decode_rgb, decode_scaled

_MIN_SIDE = 4.0
"""Least pixels of an annotation's shorter side; smaller ones show too little to learn from."""


@dataclass(frozen=True)
class LabelledObject:
    """An annotated object."""

    category: str
    box: Box


@dataclass(frozen=True)
class LabelledFrame:
    """A frame with its ground truth.

    Attributes
    ----------
    drive : drive of the frame, which a split keeps together; the frame's id if unknown
    content : reads the image file; may raise Invalid
    limits : limits of the image's size
    """

    frame_id: str
    drive: str
    content: Callable[[], bytes]
    limits: ImageLimits
    objects: tuple[LabelledObject, ...]

    def read(self) -> Image:
        """Decode the image in full, RGB.

        Raises
        ------
        Invalid
            The image cannot be read or decoded.
        """
        return decode_rgb(self.content(), self.limits)

    def read_scaled(self, shorter: int | None) -> Decoded:
        """Decode the image, maybe at a smaller scale: see `decode_scaled`.

        Raises
        ------
        Invalid
            As from `read`.
        """
        return decode_scaled(self.content(), self.limits, shorter)


@dataclass(frozen=True)
class Example:
    """A frame, or a box on it, with its label."""

    frame: LabelledFrame
    box: Box | None
    label: str

    @property
    def name(self) -> str:
        """The frame's id, and the box."""
        box = "" if self.box is None else " " + ",".join(f"{edge:g}" for edge in self.box)
        return f"{self.frame.frame_id}{box}"


def examples(frames: Sequence[LabelledFrame], looked: Looked, rule: LabelRule) -> list[Example]:
    """All examples; frames without objects have no label and give none."""
    if looked is Looked.FRAMES:
        return [
            Example(labelled_frame, None, _label(labelled_frame, rule))
            for labelled_frame in frames
            if labelled_frame.objects
        ]
    return [
        Example(frame, labelled_object.box, labelled_object.category)
        for frame in frames
        for labelled_object in frame.objects
        if min(labelled_object.box[2:]) >= _MIN_SIDE
    ]


def _label(frame: LabelledFrame, rule: LabelRule) -> str:
    area: dict[str, float] = defaultdict(float)
    for labelled_object in frame.objects:
        size = labelled_object.box[2] * labelled_object.box[3]
        area[labelled_object.category] = (
            max(area[labelled_object.category], size)
            if rule is LabelRule.LARGEST
            else area[labelled_object.category] + size
        )
    if rule is LabelRule.LARGEST:
        return max(sorted(area), key=area.__getitem__)
    counts = Counter(labelled_object.category for labelled_object in frame.objects)
    return max(sorted(counts), key=lambda category: (counts[category], area[category]))


def pixels_of(example: Example, image: Image, side: int) -> Pixels:
    """(side, side, 3) uint8: a box resized to the square, or a frame padded to it."""
    if example.box is None:
        return np.asarray(letterboxed(image, side))
    return cut(image, example.box, 1.0, (side, side))


def letterboxed(image: Image, side: int) -> Image:
    """Report 2's preprocessing: scale the longer side to `side`, pad the rest with the mean."""
    scale = side / max(image.size)
    width, height = (max(round(edge * scale), 1) for edge in image.size)
    sheet = new_image("RGB", (side, side), GREY)
    scaled = image.resize((width, height), Resampling.BILINEAR, reducing_gap=2.0)
    sheet.paste(scaled, ((side - width) // 2, (side - height) // 2))
    return sheet


def of_categories(frames: Sequence[LabelledFrame], wanted: Collection[str]) -> list[LabelledFrame]:
    """The frames, reduced to objects of these categories."""
    return [
        replace(
            labelled_frame,
            objects=tuple(item for item in labelled_frame.objects if item.category in wanted),
        )
        for labelled_frame in frames
    ]
