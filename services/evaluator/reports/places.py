"""Counts errors per map object: needles, and the candidates on shortlists, by place."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from services.contracts.events import Position
from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.chunks import chunks
from services.domain.mining.map_objects import LocatedError, map_objects
from services.domain.ports.frames import FrameStore
from services.domain.ports.known_places import KnownPlaces
from services.domain.ports.needles import NeedleStore
from services.domain.shortlists.known_places import PlaceIndex
from services.evaluator.reports.report import PlacedErrors, PlacesReport

_CHUNK = 200
"""Frames per query: they come with all their detections."""

_Errors = list[tuple[Category, FrameId]]


async def error_places(
    needles: NeedleStore, frames: FrameStore, known_places: KnownPlaces
) -> dict[DetectorId, PlacesReport]:
    """The map objects of each detector's active needles and of their shortlists.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    found, listed = await _errors(needles)
    of_all = {frame for errors in (*found.values(), *listed.values()) for _, frame in errors}
    positions = await _positions(frames, sorted(of_all))
    known = await known_places.all()
    index = PlaceIndex.of(known)
    return {
        detector: PlacesReport(
            needles=_placed(found[detector], positions),
            shortlisted=_placed(listed.get(detector, ()), positions),
            known=len(known),
            needles_at_known=sum(
                index.has(category, (at.lat, at.lon))
                for category, frame in found[detector]
                if (at := positions.get(frame)) is not None
            ),
        )
        for detector in sorted(found)
    }


async def _errors(
    needles: NeedleStore,
) -> tuple[Mapping[DetectorId, _Errors], Mapping[DetectorId, _Errors]]:
    """By detector, category and frame of each active needle, and of each chosen candidate."""
    found: defaultdict[DetectorId, _Errors] = defaultdict(list)
    listed: defaultdict[DetectorId, _Errors] = defaultdict(list)
    async for record in needles.scan():
        if not record.active or record.needle is None:
            continue
        needle = record.needle
        found[needle.detector].append((needle.category, needle.frame_id))
        if record.shortlist is not None:
            listed[needle.detector] += [
                (item.category, item.frame_id)
                for item in record.shortlist.candidates
                if item.sampling is None
            ]
    return found, listed


async def _positions(frames: FrameStore, frame_ids: Sequence[FrameId]) -> dict[FrameId, Position]:
    positions = {}
    for ids in chunks(frame_ids, _CHUNK):
        for frame_id, frame in (await frames.load(ids)).items():
            if frame.captured is not None and frame.captured.position is not None:
                positions[frame_id] = frame.captured.position
    return positions


def _placed(
    errors: Iterable[tuple[Category, FrameId]], positions: Mapping[FrameId, Position]
) -> PlacedErrors:
    located = [
        LocatedError(category, at.lat, at.lon)
        for category, frame in errors
        if (at := positions.get(frame)) is not None
    ]
    return PlacedErrors.of(len(located), map_objects(located))
