"""Erasures by HTTP: what an operator sends, and what is answered."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.errors import InvalidRecord
from services.contracts.names import AnyDriveId, AnyFrameId, AnyVehicleId

_MAX_FRAMES = 10_000


class Erase(BaseModel):
    """The frames to erase: named ones, those of a drive, or those of a vehicle."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"drive_id": "vehicle-7:2026-05-04", "reason": "request 17"}]
        },
    )

    frame_ids: Annotated[tuple[AnyFrameId, ...], Field(max_length=_MAX_FRAMES)] = ()
    drive_id: AnyDriveId | None = None
    vehicle_id: AnyVehicleId | None = None
    reason: Annotated[str, Field(max_length=500)] = ""
    dry_run: bool = Field(default=False, description="Count, and erase nothing.")

    def checked(self) -> Self:
        """The request, if it names anything.

        Raises
        ------
        InvalidRecord
            `nothing_named`: it names nothing.
        """
        if not (self.frame_ids or self.drive_id or self.vehicle_id):
            detail = "name frame_ids, a drive_id or a vehicle_id"
            raise InvalidRecord(detail, reason="nothing_named")
        return self


class StayingCopy(BaseModel):
    """A copy that Gazeloop cannot delete, and what a person can do about it."""

    where: str
    ids: tuple[str, ...]
    remedy: str


class ErasureAnswer(BaseModel):
    """What was erased, what stays, and which services have yet to erase what they hold."""

    frames: int
    unknown: tuple[str, ...] = ()
    """Named frames of which nothing is stored: mistyped, or on their way. They are kept out too."""
    counts: dict[str, int]
    """Records by kind."""
    awaited: dict[str, int]
    """For each service, the number of frames that it has not confirmed."""
    copies: tuple[StayingCopy, ...]


EraseFrames = Callable[[Erase, str], Awaitable[ErasureAnswer]]
"""Erases what a request names, for the operator with this name."""
