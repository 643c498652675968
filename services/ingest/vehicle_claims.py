"""Which frames and drives a vehicle may publish about."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.contracts.events import FrameCaptured
from services.contracts.identity import FrameId
from services.domain.namespaces import Vehicle, foreign_drive, foreign_frame
from services.domain.ports.ledger import RevisionLedger
from services.ground_truth.drafts import frame_subject, owner_entry


@dataclass(frozen=True)
class VehicleClaims:
    """The frame ids that the ledger holds for each vehicle."""

    ledger: RevisionLedger

    async def claimed(self, frame_ids: Sequence[FrameId], vehicle: Vehicle) -> list[bool]:
        """Whether each frame belongs to the vehicle.

        A frame inside the vehicle's namespace does, unless another vehicle used its id before
        namespaces existed. A frame outside does only if the vehicle itself used its id then.

        Raises
        ------
        StoreUnavailable
            The ledger does not answer.
        """
        inside = [frame_id for frame_id in frame_ids if vehicle.owns(frame_id)]
        claims = [owner_entry(frame_id, vehicle.vehicle_id) for frame_id in frame_ids]
        await self.ledger.assign([owner_entry(item, vehicle.vehicle_id) for item in inside])
        owners = await self.ledger.first([claim.subject for claim in claims])
        return [owners.get(claim.subject) == claim.digest for claim in claims]

    async def require(self, frame: FrameCaptured, vehicle: Vehicle) -> None:
        """Refuse a frame of another vehicle, or of another vehicle's drive.

        Raises
        ------
        InvalidRecord
            `foreign_frame`, `foreign_drive`.
        StoreUnavailable
            The ledger does not answer.
        """
        if not all(await self.claimed([frame.frame_id], vehicle)):
            raise foreign_frame(frame.frame_id, vehicle)
        if frame.drive_id is None or vehicle.owns(frame.drive_id):
            return
        # A frame captured before namespaces existed may be sent again unchanged.
        captured = frame_subject(frame.frame_id)
        if captured not in await self.ledger.first([captured]):
            raise foreign_drive(frame.drive_id, vehicle)
