"""Namespaces of ids: a vehicle names frames and drives within its own.

Ids that a vehicle used before there were namespaces stay its own: `VehicleClaims` of ingest.
"""

from dataclasses import dataclass

from services.contracts.errors import InvalidRecord
from services.contracts.identity import VehicleId

_SEPARATORS = (":", "/")


@dataclass(frozen=True)
class Vehicle:
    """A vehicle that publishes, and the prefix of its ids.

    Attributes
    ----------
    prefix : the vehicle's id, unless its token names another one
    """

    vehicle_id: VehicleId
    prefix: str

    def owns(self, name: str) -> bool:
        """Whether a frame's or a drive's id lies within the vehicle's namespace."""
        return name.startswith(tuple(self.prefix + separator for separator in _SEPARATORS))

    def overlaps(self, other: "Vehicle") -> bool:
        """Whether some ids lie within both namespaces."""
        return self.prefix == other.prefix or self.owns(other.prefix) or other.owns(self.prefix)

    @property
    def rule(self) -> str:
        """A description of the ids that the vehicle may use, for an error message."""
        beginnings = " or ".join(f"`{self.prefix}{separator}`" for separator in _SEPARATORS)
        return (
            f"ids of {self.vehicle_id} begin with {beginnings}; for others, make a token with"
            f" `gazeloop tokens create vehicle:{self.vehicle_id} --prefix PREFIX`"
        )


def foreign_frame(frame_id: str, vehicle: Vehicle) -> InvalidRecord:
    """The error for a frame that the vehicle may not publish.

    The frame is outside of its namespace, or another vehicle has published it.
    """
    if vehicle.owns(frame_id):
        detail = f"frame {frame_id} is another vehicle's"
    else:
        detail = f"frame {frame_id} is not this vehicle's: {vehicle.rule}"
    return InvalidRecord(detail, reason="foreign_frame")


def foreign_drive(drive_id: str, vehicle: Vehicle) -> InvalidRecord:
    """The error for a drive outside of the vehicle's namespace."""
    detail = f"drive {drive_id} is not this vehicle's: {vehicle.rule}"
    return InvalidRecord(detail, reason="foreign_drive")
