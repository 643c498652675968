"""The frames that an erasure is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.contracts.errors import InvalidRecord
from services.contracts.identity import DriveId, FrameId, VehicleId
from services.contracts.names import AnyDriveId, AnyFrameId, AnyVehicleId
from services.domain.ports.erasure import TombstoneStore
from services.runtime.stores.frame_ids_mongo import MongoFrameIds


@dataclass(frozen=True)
class Chosen:
    """The frames to erase.

    Attributes
    ----------
    unknown : the named frames of which nothing is stored or was erased; they are kept out too
    """

    frame_ids: Sequence[FrameId]
    unknown: Sequence[FrameId] = ()


_FRAME = TypeAdapter[AnyFrameId](AnyFrameId)
_DRIVE = TypeAdapter[AnyDriveId](AnyDriveId)
_VEHICLE = TypeAdapter[AnyVehicleId](AnyVehicleId)
_Id = TypeVar("_Id")


@dataclass(frozen=True)
class FrameChoice:
    """The frames to erase: those named, and those of a drive and of a vehicle."""

    frames: Sequence[FrameId] = ()
    drive: DriveId | None = None
    vehicle: VehicleId | None = None

    @classmethod
    def parsed(cls, frames: Sequence[str], drive: str | None, vehicle: str | None) -> Self:
        """The choice that these texts name.

        Raises
        ------
        InvalidRecord
            `nothing_named`: there is none. `invalid_id`: one cannot be an id, as an empty one.
        """
        if not frames and drive is None and vehicle is None:
            raise InvalidRecord("name a frame, a drive or a vehicle", reason="nothing_named")
        return cls(
            [_id_of(_FRAME, name) for name in frames],
            None if drive is None else _id_of(_DRIVE, drive),
            None if vehicle is None else _id_of(_VEHICLE, vehicle),
        )

    async def among(self, frame_ids: MongoFrameIds, tombstones: TombstoneStore) -> Chosen:
        """Find them.

        A named frame may still be on its way, so that it is erased unseen. The frames of a drive or
        vehicle are only those that are known: without any, its id is probably mistyped.

        Raises
        ------
        InvalidRecord
            `nothing_known`: there is no frame of the drive or vehicle, and no erasure to finish.
        StoreUnavailable
            The store does not answer.
        """
        of_drive = await frame_ids.of_drive(self.drive) if self.drive else []
        of_vehicle = await frame_ids.of_vehicle(self.vehicle) if self.vehicle else []
        missing = [
            f"{kind} {name!r}"
            for kind, name, found in (
                ("drive", self.drive, of_drive),
                ("vehicle", self.vehicle, of_vehicle),
            )
            if name and not found
        ]
        if missing and not await _unfinished(tombstones):
            detail = (
                f"no frame of {' or '.join(missing)} is known, so nothing was erased: it was erased"
                " before, its frames are still on their way, or its id is another"
            )
            raise InvalidRecord(detail, reason="nothing_known")
        named = set(self.frames)
        known = await frame_ids.known(named) | await tombstones.erased(named)
        return Chosen(sorted({*named, *of_drive, *of_vehicle}), sorted(named - known))

    @property
    def kinds(self) -> str:
        """What is chosen, without its ids, which an audit must not keep."""
        chosen = {"frames": self.frames, "a drive": self.drive, "a vehicle": self.vehicle}
        return " and ".join(name for name, ids in chosen.items() if ids)


def _id_of(kind: TypeAdapter[_Id], text: str) -> _Id:
    try:
        return kind.validate_python(text)
    except ValidationError as exc:
        detail = f"{text!r:.200} is no id: {exc.errors()[0]['msg']}"
        raise InvalidRecord(detail, reason="invalid_id") from None


async def _unfinished(tombstones: TombstoneStore) -> bool:
    """Whether an erasure was interrupted, or is not confirmed yet: its repeat is no mistake."""
    return bool(await tombstones.unswept(1) or await tombstones.awaited())
