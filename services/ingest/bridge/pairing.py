"""Find the frame of each image of a detector's message: by its id, or by vehicle and time."""

import math
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from services.contracts.bounds import FIRST_TIME, is_possible_time
from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId, VehicleId
from services.domain.ports.captures import Captures
from services.ingest.templates import ImageFields, Template

_UNITS_PER_S: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on a time counts in nanoseconds, microseconds or milliseconds: each is past the
year 5000 in the next larger unit."""


class UnknownFrame(InvalidRecord):
    """No stored frame matches; it may still be captured or stored."""

    default_reason = "unknown_frame"


class Pairing(Protocol):
    """A way to find the frame of an image."""

    async def frame_of(self, image: ImageFields) -> FrameId:
        """The frame.

        Raises
        ------
        UnknownFrame
            No stored frame matches.
        InvalidRecord
            `unpaired` or `ambiguous_frame`: the message lacks information.
        StoreUnavailable
            The store does not answer.
        """
        ...


class PairingById:
    """The message's values make up the frame's id; the frame need not be known yet."""

    def __init__(self, template: Template) -> None:
        self._template = template

    async def frame_of(self, image: ImageFields) -> FrameId:
        return self._template.frame_id(image)


class PairingByTime:
    """The frame that a vehicle captured nearest to the message's time.

    Parameters
    ----------
    tolerance_s : the longest time between them, in seconds
    """

    def __init__(
        self, vehicle: Template, time: Template, tolerance_s: float, captures: Captures
    ) -> None:
        self._vehicle = vehicle
        self._time = time
        self._tolerance_s = tolerance_s
        self._captures = captures

    async def frame_of(self, image: ImageFields) -> FrameId:
        vehicle = VehicleId(self._vehicle.filled(image))
        at = time_of(self._time.filled(image))
        near = await self._captures.near(vehicle, at, self._tolerance_s)
        if not near:
            raise UnknownFrame(
                f"{vehicle!r:.210} captured no frame within {self._tolerance_s:g} s of"
                f" {at.isoformat()}"
            )
        distances = sorted((abs(capture.captured_at - at), capture.frame_id) for capture in near)
        (nearest, frame_id), *others = distances
        if others and others[0][0] == nearest:
            raise InvalidRecord(
                f"{vehicle!r:.210} captured {frame_id} and {others[0][1]} equally near to"
                f" {at.isoformat()}: pair by id",
                reason="ambiguous_frame",
            )
        return frame_id


def time_of(text: str) -> datetime:
    """The time in ISO 8601 (UTC unless it names a zone), or a number since 1970.

    A number is in seconds, or in milli-, micro- or nanoseconds where it would be too large.

    Raises
    ------
    InvalidRecord
        `invalid_time`: it is neither, or no time at which an image can have been captured.
    """
    try:
        found = _by_number(text)
    except (ValueError, OverflowError):
        found = _by_iso(text)
    if found is None or not is_possible_time(found):
        raise InvalidRecord(f"{text!r:.60} is not a capture time", reason="invalid_time")
    return found


def _by_number(text: str) -> datetime | None:
    number = float(text)
    if not math.isfinite(number):
        return None
    per_s = next((unit for least, unit in _UNITS_PER_S if abs(number) >= least), 1.0)
    return FIRST_TIME + timedelta(seconds=number / per_s)


def _by_iso(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
