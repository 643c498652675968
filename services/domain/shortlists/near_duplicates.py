"""Near-duplicates: frames of one drive that show the same scene."""

from services.domain.geodesy import metres_between
from services.domain.shortlists.scored_candidates import CaptureContext, Limits


def are_near_duplicates(one: CaptureContext, other: CaptureContext, limits: Limits) -> bool:
    """Whether two frames of one drive are close in time or in space; see `Limits`."""
    if one.drive is None or one.drive != other.drive:
        return False
    if abs(one.second - other.second) < limits.apart_s:
        return True
    if one.position is None or other.position is None:
        return False
    return metres_between(*one.position, *other.position) < limits.apart_m
