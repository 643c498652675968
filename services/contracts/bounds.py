"""Bounds of values, so that every service and store can compute with them.

An event that breaks a bound is refused on arrival. Without bounds, one event could crash a service
at every start: the event is stored, and arithmetic on it fails each time.
"""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

FIRST_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The epoch: an unset clock shows it, and it marks an unknown time."""
LAST_TIME: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Later camera clocks are wrong. Both bounds are far from years 1 and 9999, where adding a day or
converting the time zone overflows."""
TIME_OUT_OF_RANGE: Final = "time_out_of_range"

MAX_COORDINATE: Final = 1e6
"""Pixels: ten times the side of the largest pictures. Areas stay within float64's exact range."""
MIN_SIDE: Final = 1e-6
"""Pixels: the product of smaller sides may underflow to 0, which makes an overlap undefined."""
MAX_AREA: Final = MAX_COORDINATE**2

MAX_OBJECTS: Final = 150_000
"""Detections or annotations of a frame: an event has no room for more; 10,000 have been seen."""
MAX_CATEGORIES: Final = 10_000
MAX_DETECTORS: Final = 10_000
"""Detector versions that look at one frame."""
MAX_CANDIDATES: Final = 1_000_000
"""Candidates of a shortlist; an event has room for some 20,000."""
MAX_DIMENSIONS: Final = 4096
MAX_RLE: Final = 8 * 1024 * 1024
"""Characters of a mask: an event has no room for more."""

MAX_INT32: Final = 2**31 - 1
MAX_EXACT: Final = 2**53 - 1
"""The largest integer that JSON's readers, float64 and MongoDB's int64 all hold exactly."""
MAX_SECONDS: Final = 1e9
"""Thirty years; sums over any number of frames stay finite."""


def is_possible_time(moment: datetime) -> bool:
    """Whether an image can have been captured at this time."""
    return FIRST_TIME <= moment <= LAST_TIME


def _moment(value: object) -> object:
    """The moment that a text names; digits alone, such as the date `20260504`, name none.

    Pydantic takes them for seconds since 1970.
    """
    if not isinstance(value, str):
        return value
    if "-" not in value:
        raise ValueError("a time like 2026-05-04T10:00:00Z is expected")
    return _TEXT.validate_python(value)


def _possible(moment: datetime) -> datetime:
    if not is_possible_time(moment):
        raise PydanticCustomError(
            TIME_OUT_OF_RANGE,
            "a time from {first} to {last} is expected; check the camera's clock",
            {"first": FIRST_TIME.date().isoformat(), "last": LAST_TIME.date().isoformat()},
        )
    return moment


_TEXT = TypeAdapter(AwareDatetime)
CaptureTime = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_possible)]
"""When an image was captured."""
Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Side = Annotated[float, Field(ge=MIN_SIDE, le=MAX_COORDINATE)]
Area = Annotated[float, Field(ge=0, le=MAX_AREA)]
Duration = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
PixelCount = Annotated[int, Field(gt=0, le=MAX_INT32)]
ByteCount = Annotated[int, Field(gt=0, le=MAX_EXACT)]
ObjectCount = Annotated[int, Field(ge=0, le=MAX_INT32)]
SourceRevision = Annotated[int, Field(ge=1, le=MAX_INT32)]
"""A revision from outside; the sum of a few still fits the evaluator's uint32."""
Revision = Annotated[int, Field(ge=1, le=MAX_EXACT)]
"""A derived revision, which is a sum of others."""
Share = Annotated[float, Field(ge=0, le=1)]
Overlap = Annotated[float, Field(ge=0, le=2)]
"""An IoU; rounding may put it slightly above 1."""
Rank = Annotated[float, Field(ge=-1e9, le=1e9)]
"""A similarity or an evidence."""
