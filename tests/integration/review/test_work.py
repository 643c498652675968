"""The page of the work of annotators."""

import csv

from services.domain.ports.family_marks import Mark
from tests.integration.review.conftest import Browser
from tests.review_world import needle_id_of


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


async def test_without_any_decision_the_page_says_so(ana: Browser) -> None:
    assert "Nobody has decided anything" in (await ana.get("/charts/work?span=lost")).text
