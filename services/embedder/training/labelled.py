"""Annotated frames as examples: what is looked at, and the one label that it has."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from PIL.Image import Image, Resampling
from PIL.Image import new as new_image

from services.contracts.identity import Box
from services.embedder.models.crops import GREY, Pixels, cut
from services.runtime.images import Decoded, ImageLimits, decode_rgb, decode_scaled

_LEAST_SIDE = 4.0
"""Pixels below which an annotation shows nothing that could be learnt."""


class Looked(StrEnum):
    """What an example is."""

    CROPS = "crops"
    """Each annotated object by itself."""
    FRAMES = "frames"
    """Each frame as a whole."""


class LabelRule(StrEnum):
    """Which of its objects' categories is a frame's label."""

    MOST_FREQUENT = "most-frequent"
    """Report 2's rule; of equally frequent ones, the one that covers more."""
    LARGEST = "largest"


@dataclass(frozen=True)
class LabelledObject:
    """One annotated object."""

    category: str
    box: Box


@dataclass(frozen=True)
class LabelledFrame:
    """A frame with its ground truth.

    Attributes
    ----------
    drive : what is kept together; the frame's own id where no drive is known
    content : reads its image's file; may raise Invalid
    limits : what that image may cost
    """

    frame_id: str
    drive: str
    content: Callable[[], bytes]
    limits: ImageLimits
    objects: tuple[LabelledObject, ...]

    def read(self) -> Image:
        """All of its image, RGB.

        Raises
        ------
        Invalid
            It cannot be read or decoded.
        """
        return decode_rgb(self.content(), self.limits)

    def read_scaled(self, shorter: int | None) -> Decoded:
        """Its image, or a smaller one: see `decode_scaled`.

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
    """All that can be looked at: frames without any object have no label and are left out."""
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
        if min(labelled_object.box[2:]) >= _LEAST_SIDE
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
    """(side, side, 3) uint8: a box squeezed to the square, a frame padded to it."""
    if example.box is None:
        return np.asarray(letterboxed(image, side))
    return cut(image, example.box, 1.0, side)


def letterboxed(image: Image, side: int) -> Image:
    """Report 2's preparation: the longer side scaled to this, the rest padded with the mean."""
    scale = side / max(image.size)
    width, height = (max(round(edge * scale), 1) for edge in image.size)
    sheet = new_image("RGB", (side, side), GREY)
    scaled = image.resize((width, height), Resampling.BILINEAR, reducing_gap=2.0)
    sheet.paste(scaled, ((side - width) // 2, (side - height) // 2))
    return sheet


def of_categories(frames: Sequence[LabelledFrame], wanted: Collection[str]) -> list[LabelledFrame]:
    """The frames with their objects of these categories, and no others."""
    return [
        replace(
            labelled_frame,
            objects=tuple(one for one in labelled_frame.objects if one.category in wanted),
        )
        for labelled_frame in frames
    ]
