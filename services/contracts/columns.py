"""Columns of an event that are bytes on the wire: little-endian numbers, one after the other."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, ModelWrapValidatorHandler, WithJsonSchema, model_validator

from services.contracts.events import Strict

MAX_GROUPS: Final = 10_000
MAX_ROWS: Final = 1_000_000
"""Bounds of one event: 10,000 categories of 100 detections. MongoDB's 16 MB are reached earlier."""


def _column(item: str, size: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "format": "base64url",
            "maxLength": -(-size * MAX_ROWS // 3) * 4,
            "description": f"Little-endian {item}, one after the other",
        }
    )


Float64Column = Annotated[bytes, _column("float64", 8)]
BoxColumn = Annotated[bytes, _column("float64, four for each box [x, y, width, height]", 32)]
WordColumn = Annotated[bytes, _column("uint64", 8)]
CodeColumn = Annotated[bytes, _column("uint8", 1)]


class Columns(Strict, ABC):
    """A part of an event with columns of bytes."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    @model_validator(mode="wrap")
    @classmethod
    def _checked_once(cls, value: Any, validated: ModelWrapValidatorHandler[Self]) -> Self:
        # Pydantic runs an "after" validator again when the part is put into an event.
        part = validated(value)
        if part is not value:
            part.check()
        return part

    @abstractmethod
    def check(self) -> None:
        """Compare the columns with each other, and with their bounds.

        Raises
        ------
        ValueError
            They differ in length, or a value is out of bounds.
        """


def check_column(values: Sequence[float], least: float, most: float, name: str) -> None:
    """Refuse values outside of these bounds.

    Raises
    ------
    ValueError
        A value is NaN, less than `least` or more than `most`.
    """
    # No comparison holds for the sum if one of them is NaN.
    if values and not (least <= min(values) and max(values) <= most and sum(values) < math.inf):
        raise ValueError(f"{name} is not from {least} to {most}")
