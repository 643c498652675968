"""Templates that name the frame of a foreign message by the message's own values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import PurePosixPath
from typing import Final, Self, TypeGuard

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.formats import fields
from services.formats.fields import Record
from services.formats.readers.image_names import without_ending
from services.formats.readers.records import ImageKey

_PLACE: Final = re.compile(r"\{([^{}]+)\}")
IMAGE: Final = "image"
"""The placeholder for the image's path in the message, without ending."""
_STEM: Final = "image.stem"
"""The same without folders."""


@dataclass(frozen=True)
class ImageFields:
    """What a template can name of an image's message.

    Attributes
    ----------
    image : the image as the message names it
    message : the JSON object that names the image
    attributes : values from around the message, such as its key; they take precedence
    """

    image: ImageKey
    message: Record
    attributes: Mapping[str, str]

    def value(self, name: str) -> object:
        """The value of a placeholder: the image, an attribute, or a path of keys joined by dots.

        Raises
        ------
        InvalidRecord
            `unpaired`: the message has no such value.
        """
        if name in self.attributes:
            return self.attributes[name]
        if name in {IMAGE, _STEM}:
            path = without_ending(str(self.image))
            return path if name == IMAGE else PurePosixPath(path).name
        value: object = self.message
        for key in [name] if name in self.message else name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not _is_part(value):
            raise InvalidRecord(f"the message has no value {name!r:.100}", reason="unpaired")
        return value


def _is_part(value: object) -> TypeGuard[str | int | float]:
    """Whether a value can be part of an id: a text, or a finite number."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


@dataclass(frozen=True)
class Template:
    """Text with placeholders, such as `vehicle-7:{sensorId}:{id}`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The template in a text.

        Raises
        ------
        InvalidRecord
            `invalid_template`: it is empty, or its braces do not match.
        """
        if not text or set("{}") & set(_PLACE.sub("", text)):
            raise InvalidRecord(
                f"{text!r:.100} is no template: text with placeholders such as {{image}}, {{key}}"
                " or {sensor.id}",
                reason="invalid_template",
            )
        return cls(text)

    def filled(self, values: ImageFields) -> str:
        """The text with the values of an image.

        Raises
        ------
        InvalidRecord
            `unpaired`: the message lacks one of them.
        """
        return _PLACE.sub(lambda match: str(values.value(match[1])), self.text)

    def frame_id(self, values: ImageFields) -> FrameId:
        """The filled text as a frame's id.

        Raises
        ------
        InvalidRecord
            `unpaired`: the message lacks a value, or the text is no frame id.
        """
        text = self.filled(values)
        frame_id = fields.own_frame_id(text)
        if frame_id is None:
            raise InvalidRecord(f"{text!r:.210} is not a frame's id", reason="unpaired")
        return frame_id


def claim_frame(frame_id: FrameId, taken: set[FrameId]) -> FrameId:
    """The frame of an image, which no other image of the message may have.

    Parameters
    ----------
    taken : the frames of the other images; this one is added

    Raises
    ------
    InvalidRecord
        `duplicate_id`: it is taken.
    """
    if frame_id in taken:
        raise InvalidRecord(f"{frame_id} is of two images", reason="duplicate_id")
    taken.add(frame_id)
    return frame_id
