"""The page of the work of annotators."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from services.app.figures_job import SharedFigures
from services.contracts.identity import DetectorId, FrameId
from services.domain.ports.family_marks import Mark
from services.domain.ports.figures import Figures
from tests.integration.review.conftest import Browser
from tests.review_world import STOP, needle_id_of
from tests.samples import published
from tests.unit.domain import oracle

DETECTOR = DetectorId("ods@1")


async def decide(person: Browser, number: int, act: str, place: int) -> None:
    record = (await person.world.stores.needles.load([needle_id_of(number)]))[needle_id_of(number)]
    assert record.shortlist is not None
    region = record.shortlist.candidates[place].region_id
    form: dict[str, object] = {"act": act, "region": f"{region}@0", "drawn": "0"}
    await person.post(f"/needles/{needle_id_of(number)}/decisions", form)
    person.world.clock.advance(120)


async def test_the_work_of_people_and_families_is_a_page_and_a_table(ana: Browser) -> None:
    await ana.world.stores.family_marks.show(
        {needle_id_of(0): Mark("family-1", exemplar=True)}, ana.world.clock.now()
    )
    for place in range(3):
        await decide(ana, 0, "accept" if place else "reject", place)

    page = (await ana.get("/charts/work?span=day")).text
    people = [*csv.DictReader((await ana.get("/charts/people.csv")).text.splitlines())]
    families = [*csv.DictReader((await ana.get("/charts/families.csv")).text.splitlines())]

    assert '<th scope="row">Ana</th><td class="num">3</td><td class="num">30</td>' in page
    assert "nothing decided twice" in page
    assert [(row["person"], row["verdicts_per_hour"]) for row in people] == [("Ana", "30.0")]
    (family,) = families
    assert (family["listed"], family["decided"], family["fails_too"]) == ("4", "3", "2")
    assert float(family["hours_in_period"]) * 60 == 4


async def test_what_reviewed_frames_recover_is_on_the_pages_of_the_work_and_of_its_end(
    ana: Browser,
) -> None:
    stores, clock = ana.world.stores, ana.world.clock
    job = SharedFigures(stores, ana.world.context.settings, clock)
    await job.note()  # before the matches, which gains are computed from all the same
    await stores.family_marks.show({needle_id_of(0): Mark("family-1", exemplar=True)}, clock.now())
    frames = [oracle.random_frame(np.random.default_rng(k), k) for k in range(12)]
    matches = [
        replace(match, frame_id=FrameId(f"h000-{k}"), detector=DETECTOR, category=STOP)
        for k, frame in enumerate(frames)
        for match in oracle.matched(frame)
        if match.category == oracle.CATEGORIES[1]
    ]
    await stores.matches.record(published(matches))
    await job.repair_gains()
    assert await stores.repair_gains.all() == {DETECTOR: {}}
    for place in range(4):
        await decide(ana, 0, "accept", place)

    await job.repair_gains()

    gain = (await stores.repair_gains.all())[DETECTOR]["family-1"]
    known = {match.frame_id for match in matches} & {f"h000-{k}" for k in range(4)}
    assert (gain.frames, gain.ap) == (len(known), gain.map)
    assert gain.ap > 0
    (family,) = csv.DictReader((await ana.get("/charts/families.csv")).text.splitlines())
    assert float(family["map_recovered_per_hour"]) == pytest.approx(gain.map / 0.1)
    assert f"{gain.ap:.3f}" in (await ana.get("/charts/work")).text
    await stores.figures.add(
        Figures(DETECTOR, clock.now(), {"H": 0.4}, None, None, None, {"done": 1})
    )
    end = (await ana.get("/done")).text
    assert "mAP of H recovered" in end
    assert f"+{gain.map:.3f}" in end


async def test_without_any_decision_the_page_says_so(ana: Browser) -> None:
    assert "Nobody has decided anything" in (await ana.get("/charts/work?span=lost")).text
