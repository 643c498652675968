"""Checks of single values in foreign records; every failure has its own reason code."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from services.contracts.bounds import (
    FIRST_TIME,
    LAST_TIME,
    MAX_AREA,
    MAX_COORDINATE,
    MIN_SIDE,
    is_possible_time,
)
from services.contracts.errors import InvalidRecord
from services.contracts.events import Position
from services.contracts.identity import Box, FrameId
from services.contracts.visible_text import hidden_character
from services.formats.adjustments import Adjustment

Record = Mapping[str, Any]
M = TypeVar("M", bound=BaseModel)

MAX_SCORE = 1 + 1e-6
"""The next float32 after 1 is 1 + 1.2e-7, so a few roundings can move a score up to here."""


def malformed(detail: str) -> InvalidRecord:
    """The error for a record that does not have its format's shape."""
    return InvalidRecord(detail, reason="malformed_record")


def record(value: object, name: str) -> Record:
    """A JSON object.

    Raises
    ------
    InvalidRecord
        It is something else.
    """
    if not isinstance(value, Mapping):
        raise malformed(f"{name} is not an object")
    return value


def number(value: object) -> float | None:
    """A JSON number as float64, infinite if too large; None for anything else."""
    if type(value) is float:  # a short cut: files have millions of them
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def side(value: object) -> int | None:
    """A picture's width or height in whole pixels, also as `640.0` or `"640"`; else None."""
    try:
        found = float(value) if isinstance(value, str) else number(value)
    except ValueError:
        return None
    if found is None or not found.is_integer() or not 0 < found <= MAX_COORDINATE:
        return None
    return int(found)


def box(value: object) -> Box:
    """`[x, y, width, height]` with an area.

    Raises
    ------
    InvalidRecord
        `malformed_record`, `box_not_finite`, `box_inverted` (a negative side), `box_without_area`
        or `box_out_of_range`.
    """
    numbers = [number(side) for side in value] if isinstance(value, list | tuple) else []
    if len(numbers) != 4:  # noqa: PLR2004  # a box has four numbers
        raise malformed("bbox is not [x, y, width, height]")
    x, y, width, height = numbers
    if x is None or y is None or width is None or height is None:
        raise malformed("bbox is not [x, y, width, height]")
    if not all(map(math.isfinite, (x, y, width, height))):
        raise InvalidRecord(f"bbox {numbers} is not finite", reason="box_not_finite")
    if width < 0 or height < 0:
        detail = f"bbox {numbers} has a negative width or height"
        raise InvalidRecord(detail, reason="box_inverted")
    if width < MIN_SIDE or height < MIN_SIDE:
        raise InvalidRecord(f"bbox {numbers} has no area", reason="box_without_area")
    if max(abs(x), abs(y), width, height) > MAX_COORDINATE:
        raise InvalidRecord(f"bbox {numbers} is beyond any image", reason="box_out_of_range")
    return (x, y, width, height)


def rotation(fields: Record) -> float:
    """The `rotation` of a box in degrees, as a number or a text; 0 without one.

    Raises
    ------
    InvalidRecord
        `rotated_box`: it is something else.
    """
    value = fields.get("rotation")
    if value is None or value == "":
        return 0.0
    try:
        found = float(value) if isinstance(value, str) else number(value)
    except ValueError:
        found = None
    if found is None or not math.isfinite(found):
        raise InvalidRecord(f"rotation {value!r:.40} is not an angle", reason="rotated_box")
    return found


def sorted_box(value: object, adjustments: Counter[Adjustment]) -> Box:
    """`[x, y, width, height]` with an area; negative sides extend to the left and upwards.

    Tools produce negative sides when they subtract exchanged corners.

    Raises
    ------
    InvalidRecord
        As from `box`, without `box_inverted`.
    """
    sides = [number(side) for side in value] if isinstance(value, list | tuple) else []
    if len(sides) == 4 and None not in sides:  # noqa: PLR2004  # a box has four numbers
        x, y, width, height = (0.0 if side is None else side for side in sides)
        if min(width, height) < 0 and math.isfinite(x + y + width + height):
            adjustments[Adjustment.CORNERS_SORTED] += 1
            value = [x + min(width, 0), y + min(height, 0), abs(width), abs(height)]
    return box(value)


def score(value: object, adjustments: Counter[Adjustment]) -> float:
    """A score between 0 and 1; float32 rounding errors above 1 become 1.

    Raises
    ------
    InvalidRecord
        `malformed_record`, `score_not_finite` or `score_out_of_range`.
    """
    found = number(value)
    if found is None:
        raise malformed("score is not a number")
    if not math.isfinite(found):
        raise InvalidRecord(f"score is {found}", reason="score_not_finite")
    if 1 < found <= MAX_SCORE:
        adjustments[Adjustment.SCORE_CLIPPED] += 1
        return 1.0
    if not 0 <= found <= 1:
        raise InvalidRecord(f"score {found} is not in [0, 1]", reason="score_out_of_range")
    return found


def crowd(value: object, name: str = "iscrowd") -> bool:
    """Whether an annotation is a crowd: `flag` of COCO's `iscrowd` and of what others call it.

    Raises
    ------
    InvalidRecord
        `invalid_crowd`: it is something else.
    """
    found = flag(value)
    if found is None:
        raise InvalidRecord(f"{name} {value!r:.40} is not 0 or 1", reason="invalid_crowd")
    return found


def flag(value: object) -> bool | None:
    """A flag: a truth value, 0 or 1, also as a text; false if absent, None for anything else.

    Any other whole number counts as 1, as in pycocotools.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    found = number(value)
    return None if found is None or not found.is_integer() else found != 0


def area(value: object) -> float | None:
    """An area, where one is given.

    Raises
    ------
    InvalidRecord
        It is not a finite number, or negative.
    """
    if value is None:
        return None
    found = number(value)
    if found is None or not 0 <= found <= MAX_AREA:
        raise InvalidRecord(f"area {value!r:.40} is not an area", reason="invalid_area")
    return found


def key(value: object) -> int | str:
    """An id that other records refer to; 7 and 7.0 are the same one.

    Raises
    ------
    InvalidRecord
        It is neither an integer nor a string.
    """
    if type(value) is int and abs(value) <= 2**53:  # a short cut, as float64 holds it exactly
        return value
    if isinstance(value, str) and value:
        return value
    found = number(value)
    if found is None or not found.is_integer() or abs(found) > 2**63:
        raise malformed(f"{value!r:.40} is not an id")
    return value if isinstance(value, int) else int(found)


def captured_at(fields: Record) -> datetime | None:
    """Capture time: `captured_at`, else COCO's `date_captured`; UTC unless it names a zone.

    Raises
    ------
    InvalidRecord
        `invalid_time`: `captured_at` is not ISO 8601, or not a plausible capture time. COCO's own
        field is free text, so an unreadable or implausible value there counts as absent.
    """
    if fields.get("captured_at"):
        found = _time(fields["captured_at"])
        if found is None:
            detail = (
                f"captured_at {fields['captured_at']!r:.40} is no ISO 8601 time from"
                f" {FIRST_TIME:%Y-%m-%d} to {LAST_TIME:%Y-%m-%d}"
            )
            raise InvalidRecord(detail, reason="invalid_time")
        return found
    return _time(fields.get("date_captured"))


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    # Convert last: near year 1 and 9999 the conversion overflows.
    return found.astimezone(UTC) if is_possible_time(found) else None


def position(fields: Record) -> Position | None:
    """Where an image was captured, from `lat` and `lon`; None without either.

    Raises
    ------
    InvalidRecord
        `invalid_position`: one of them is missing, or not in degrees.
    """
    lat, lon, heading = (fields.get(name) for name in ("lat", "lon", "heading"))
    if lat is None and lon is None:
        return None
    turned = number(heading)
    try:
        found = {"lat": number(lat), "lon": number(lon)}
        turn = turned % 360 if turned is not None and math.isfinite(turned) else heading
        return Position.model_validate({**found, "heading": turn})
    except ValidationError as exc:
        raise InvalidRecord(first_of(exc), reason="invalid_position") from exc


def checked(model: type[M], **values: object) -> M:
    """Build a part of an event.

    Raises
    ------
    InvalidRecord
        `malformed_record`: a value breaks the contract.
    """
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise malformed(first_of(exc)) from exc


def frame_id(dataset: str, image: int | str) -> FrameId:
    """The frame's id. Numbers are zero-padded, so that ids sort as COCO sorts its images.

    Raises
    ------
    InvalidRecord
        The name is too long for an id.
    """
    name = f"{image:012d}" if isinstance(image, int) else quoted(str(image))
    found = f"{quoted(dataset)}:{name}"
    if len(found) > 200:  # noqa: PLR2004  # the contract's limit
        raise malformed(f"the frame id {found[:50]}… is longer than 200 characters")
    return FrameId(found)


def own_frame_id(value: object) -> FrameId | None:
    """The frame id that Gazeloop's own export wrote; None if the value is not one."""
    fits = isinstance(value, str) and 0 < len(value) <= 200  # noqa: PLR2004  # the contract's limit
    if not isinstance(value, str) or not fits or _BLANK.search(value) or hidden_character(value):
        return None
    return FrameId(value)


def quoted(name: str) -> str:
    """A name escaped (reversibly) for use in an id: no blanks, no control characters.

    Raises
    ------
    InvalidRecord
        It is not Unicode, or longer than an id may be.
    """
    try:
        found = quote(name, safe=_READABLE)
    except UnicodeEncodeError as exc:
        raise malformed(f"{name!r:.60} is not Unicode") from exc
    if not 0 < len(found) <= 200:  # noqa: PLR2004  # the contract's limit
        raise malformed(f"{name!r:.60} is empty or too long for an id")
    return found


_FLAGS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("", "0", "0.0", "false"), False),
    **dict.fromkeys(("1", "1.0", "true"), True),
}
_BLANK = re.compile(r"\s")
_READABLE = "/._-+,;=@()[]{}!$&'*~"


def raw(value: object) -> bytes:
    """A record as JSON bytes, whatever it holds, NaN and invalid Unicode included."""
    return json.dumps(value, default=str).encode()


def first_of(error: ValidationError) -> str:
    """The first problem of a validation error, with its field."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"
