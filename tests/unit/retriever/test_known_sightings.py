"""Candidates at known places, held back until the place is not known any more."""

from services.contracts.identity import DriveId, FamilyId, FrameId, RegionId, VehicleId
from services.domain.ports.known_places import KnownPlace
from services.domain.shortlists.scored_candidates import CaptureContext, ScoredCandidate
from services.retriever.allocation.known_sightings import KnownSightings, Sighting
from services.retriever.changelog import Changelog
from tests import samples
from tests.fakes.known_places import InMemoryKnownPlaces

NEEDLE = samples.needle_found("needle")
PLACE = (52.5, 13.4)


async def test_what_is_held_back_is_released_once() -> None:
    places = InMemoryKnownPlaces()
    context = CaptureContext(FrameId("f"), DriveId("d"), 0.0, PLACE, VehicleId("v"))
    candidate = ScoredCandidate(RegionId("r"), context, 1.0, 1.0, FamilyId("family"))
    sighting = Sighting((samples.DETECTOR, NEEDLE.category), candidate)
    held = KnownSightings(places, Changelog())
    await places.mark(
        KnownPlace(
            *(NEEDLE.needle_id, NEEDLE.frame_id, NEEDLE.category, *PLACE, "ana"),
            samples.CAPTURED_AT,
        )
    )
    assert await held.refresh() == []
    assert held.hold([sighting]) == {FrameId("f")}
    assert await held.refresh() == []
    await places.unmark(NEEDLE.needle_id)
    assert await held.refresh() == [sighting]
    assert await held.refresh() == []
