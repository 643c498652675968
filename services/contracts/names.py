"""Names and ids as events carry them: how long they may be, and of which characters."""

from typing import Annotated, Final

from pydantic import Field

from services.contracts.identity import (
    Category,
    DetectorId,
    DriveId,
    FrameId,
    ModelId,
    NeedleId,
    PointId,
    RegionId,
    VehicleId,
)
from services.contracts.visible_text import HIDDEN

# The schemas are for producers: they state what ingest accepts. Events stored before ingest refused
# indistinguishable names can still be read, because the models' own patterns are wider.
_ID: Final = Field(
    min_length=1,
    max_length=200,
    pattern=r"^[^\s\x00-\x1f]+$",
    json_schema_extra={"pattern": rf"^[^\s{HIDDEN}]+$"},
)
NAME: Final = Field(
    min_length=1,
    max_length=100,
    pattern=r"^[^\x00-\x1f]+$",
    json_schema_extra={"pattern": rf"^[^{HIDDEN}]*[^\s{HIDDEN}][^{HIDDEN}]*$"},
)
AnyModelId = Annotated[ModelId, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$")]
DetectorPart = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\s@\x00-\x1f]+$")]
AnyDetectorId = Annotated[DetectorId, _ID]
# No pattern: an event has hundreds of these, and a pattern would double the time of validation.
AnyRegionId = Annotated[RegionId, Field(min_length=1, max_length=200)]
AnyNeedleId = Annotated[NeedleId, _ID]
AnyPointId = Annotated[PointId, _ID]
AnyFrameId = Annotated[FrameId, _ID]
AnyVehicleId = Annotated[VehicleId, _ID]
AnyDriveId = Annotated[DriveId, _ID]
AnyCategory = Annotated[Category, NAME]
MAX_TAGS: Final = 32
MAX_TAG_KEY_LENGTH: Final = 64
MAX_TAG_VALUE_LENGTH: Final = 128
_Key = Annotated[
    str, Field(min_length=1, max_length=MAX_TAG_KEY_LENGTH, pattern=r"^[^\x00-\x1f]+$")
]
_Value = Annotated[str, Field(max_length=MAX_TAG_VALUE_LENGTH, pattern=r"^[^\x00-\x1f]*$")]
TrackId = Annotated[str, NAME]
Tags = Annotated[dict[_Key, _Value], Field(max_length=MAX_TAGS)]
Attributes = Annotated[dict[_Key, _Value], Field(max_length=16)]
