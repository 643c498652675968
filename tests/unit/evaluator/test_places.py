"""Errors are counted per map object."""

from services.contracts.events import Position, Split
from services.contracts.identity import FrameId, NeedleId
from services.domain.ports.known_places import KnownPlace
from services.evaluator.reports.places import error_places
from tests import samples
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.known_places import InMemoryKnownPlaces
from tests.fakes.needles import InMemoryNeedleStore
from tests.unit.domain.oracle import matched
from tests.unit.evaluator.test_report import frame, needle_of, shortlist


async def test_needles_and_candidates_of_one_place_are_one_map_object() -> None:
    frames, needles = InMemoryFrameStore(), InMemoryNeedleStore()
    positions = {"a": 13.4, "b": 13.40001, "far": 13.5, "h1": 13.4, "h2": 13.40001}
    for name, lon in positions.items():
        captured = samples.frame_captured(name)
        at = Position(lat=52.5, lon=lon)
        await frames.record([captured.model_copy(update={"position": at})])
    await frames.record([samples.frame_captured("nowhere")])
    found = [
        needle_of(matched(frame(name, 0.9, right=False), split=Split.REFERENCE)[0])
        for name in ("a", "b", "far", "nowhere")
    ]
    await needles.record(found)
    listed = [matched(frame(name, 0.9, right=False))[0] for name in ("h1", "h2")]
    await needles.write_shortlists([shortlist(found[0], listed)])

    known = InMemoryKnownPlaces()
    await known.mark(
        KnownPlace(
            *(NeedleId("n"), FrameId("b"), found[0].category, 52.5, 13.40001, "ana"),
            samples.CAPTURED_AT,
        )
    )

    (places,) = (await error_places(needles, frames, known)).values()

    assert (places.needles.errors, places.needles.map_objects) == (3, 2)
    assert [(place.lon, place.errors) for place in places.needles.most] == [(13.4, 2), (13.5, 1)]
    assert (places.known, places.needles_at_known) == (1, 2)
    assert (places.shortlisted.errors, places.shortlisted.map_objects) == (2, 1)
