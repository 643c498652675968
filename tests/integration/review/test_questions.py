"""Held corrections are answered on the page: by one, by two at once, and sent on their way."""

import csv
from http import HTTPStatus

import pytest

from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Category
from services.domain.ports.held_corrections import HeldCorrection, Meaning, Question
from services.ground_truth.holding import HeldRelease
from services.ground_truth.publishing import RevisionPublisher
from services.runtime.stores.mongo import connect
from tests.integration.review.conftest import Browser
from tests.review_world import HOSTILE, OTHER, REGION, STOP, UNKNOWN, World, ask, held, version_by

LABEL = f"/questions/label?name={UNKNOWN}"
SAME: dict[str, object] = {"label": UNKNOWN, "seen": "0", "meaning": "same", "category": STOP}


async def released(world: World) -> list[FrameAnnotated]:
    """What ingest has published once it has looked again."""
    publisher = RevisionPublisher(world.stores.ledger, world.outbox, "answer")
    await world.stores.ledger.assign([])
    await HeldRelease(world.stores.held, publisher).release()
    return [truth for truth in world.outbox.published if isinstance(truth, FrameAnnotated)]


def choice_form(one: HeldCorrection, version: int) -> dict[str, object]:
    return {"asked": one.question.value, "version": str(version)}


async def test_where_nothing_is_held_nothing_is_asked(ana: Browser) -> None:
    page = (await ana.get("/questions")).text

    assert "No open questions" in page
    assert 'class="count"' not in page


async def test_every_page_counts_what_is_asked_and_a_label_once(ana: Browser) -> None:
    await ask(ana.world.stores)
    again = version_by("Eve", "h000-3", Annotation(category=UNKNOWN, bbox=OTHER))
    await ana.world.stores.held.hold([held(Question.UNKNOWN_CATEGORY, again, unknown=(UNKNOWN,))])

    for path in ("/", "/needles", "/questions", "/charts", "/frames?id=h000-1"):
        assert '<span class="count">2<' in (await ana.get(path)).text
    page = (await ana.get("/questions")).text
    assert f'>{UNKNOWN}</a></th><td class="num">2<' in page
    assert "Eve, Finn" in page


async def test_the_csv_file_has_every_question_though_the_page_shows_fewer(ana: Browser) -> None:
    _, choice = await ask(ana.world.stores)
    settings = ana.world.context.settings
    database = connect(settings.mongodb, settings.mongodb_database)
    copied = await database["held_corrections"].find_one({"_id": choice.held_id})
    assert copied is not None
    copies = [copied | {"_id": f"copy-{k:04}", "frame_id": f"copy-{k:04}"} for k in range(600)]
    await database["held_corrections"].insert_many(copies)
    await database.client.close()

    table = (await ana.get("/questions.csv")).text

    label, *choices = csv.DictReader(table.splitlines())
    assert (label["label_or_frame"], label["corrections"]) == (UNKNOWN, "1")
    named = [row["label_or_frame"] for row in choices]
    assert sorted(named) == [*(f"copy-{k:04}" for k in range(600)), choice.frame_id]


async def test_a_label_is_shown_where_it_was_used_with_the_category_it_is_most_like(
    ana: Browser,
) -> None:
    await ask(ana.world.stores)

    page = (await ana.get(LABEL)).text

    assert f'<option value="{STOP}" selected>' in page
    assert page.count('<g class="asked">') == 1
    assert "back.json:images[0]" in page
    assert "<b>1</b> of 2" in page


async def test_a_label_that_is_explained_lets_its_corrections_go(ana: Browser) -> None:
    await ask(ana.world.stores)

    answer = await ana.post("/questions/label", SAME)

    assert answer.status_code == HTTPStatus.SEE_OTHER
    kept = (await ana.world.stores.held.answers())[UNKNOWN]
    assert (kept.meaning, kept.by, kept.at) == (Meaning.SAME, "Ana", ana.world.clock.now())
    (event,) = await released(ana.world)
    assert [annotation.category for annotation in event.annotations] == [STOP, "yield"]
    following = (await ana.get(answer.headers["Location"].removeprefix("/review"))).text
    assert "Which version is right?" in following
    assert f"<b>Ana</b>: <q>{UNKNOWN}</q> is <b>{STOP}</b>" in following


@pytest.mark.parametrize(("meaning", "left"), [("new", [UNKNOWN, "yield"]), ("nothing", ["yield"])])
async def test_a_label_may_be_new_or_no_object_at_all(
    ana: Browser, meaning: str, left: list[str]
) -> None:
    await ask(ana.world.stores)

    await ana.post("/questions/label", {"label": UNKNOWN, "seen": "0", "meaning": meaning})

    (event,) = await released(ana.world)
    assert [annotation.category for annotation in event.annotations] == left


async def test_of_two_who_explain_a_label_at_once_the_second_is_told(
    ana: Browser, ben: Browser
) -> None:
    await ask(ana.world.stores)
    await ana.post("/questions/label", SAME)

    answer = await ben.post("/questions/label", {**SAME, "meaning": "new"})

    assert answer.status_code == HTTPStatus.CONFLICT
    assert "Ana has already answered this" in answer.text
    assert (await ana.world.stores.held.answers())[UNKNOWN].meaning is Meaning.SAME


async def test_an_answer_about_a_label_can_be_changed_for_what_comes_later(ana: Browser) -> None:
    await ask(ana.world.stores)
    await ana.post("/questions/label", SAME)
    await released(ana.world)

    page = (await ana.get(LABEL)).text
    await ana.post("/questions/label", {"label": UNKNOWN, "seen": "1", "meaning": "new"})

    assert "No correction waits for this label" in page
    assert (await ana.world.stores.held.answers())[UNKNOWN].meaning is Meaning.NEW


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({**SAME, "category": "stp sign"}, "Choose an existing category"),
        ({"label": UNKNOWN, "seen": "0"}, "Choose what the label means first"),
        ({**SAME, "seen": "\u00b2"}, "Choose what the label means first"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_told_and_not_kept(
    ana: Browser, form: dict[str, object], message: str
) -> None:
    await ask(ana.world.stores)

    answer = await ana.post("/questions/label", form)

    assert (answer.status_code, message in answer.text) == (HTTPStatus.CONFLICT, True)
    assert await ana.world.stores.held.answers() == {}


async def test_a_label_that_nobody_asks_about_cannot_be_explained(ana: Browser) -> None:
    answer = await ana.post("/questions/label", {"label": "kiosk", "seen": "0", "meaning": "new"})

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert (await ana.get("/questions/label?name=kiosk")).status_code == HTTPStatus.NOT_FOUND
    assert await ana.world.stores.held.answers() == {}


async def test_versions_stand_side_by_side_with_what_only_one_of_them_has(ana: Browser) -> None:
    _, choice = await ask(ana.world.stores)

    page = (await ana.get(f"/questions/{choice.held_id}")).text

    assert page.count('<g class="asked">') == 1
    assert page.count("only here</span> <span") == 1
    assert "Current ground truth" in page


@pytest.mark.parametrize(
    ("version", "published"), [(1, [["yield", STOP]]), (2, [["yield"]]), (0, [])]
)
async def test_of_two_who_disagree_one_counts_or_none(
    ana: Browser, version: int, published: list[list[str]]
) -> None:
    label, choice = await ask(ana.world.stores)

    answer = await ana.post(f"/questions/{choice.held_id}", choice_form(choice, version))

    assert answer.status_code == HTTPStatus.SEE_OTHER
    events = await released(ana.world)
    assert [
        [annotation.category for annotation in event.annotations] for event in events
    ] == published
    kept = await ana.world.stores.held.find(choice.held_id)
    assert kept is not None
    assert (kept.by, kept.decided_at) == ("Ana", ana.world.clock.now())
    assert kept.token_id
    assert f"/review{LABEL.partition('?')[0]}" in answer.headers["Location"]
    assert label.frame_id not in (await ana.get(f"/questions/{choice.held_id}")).text


async def test_of_two_who_choose_at_once_the_second_is_told(ana: Browser, ben: Browser) -> None:
    _, choice = await ask(ana.world.stores)
    address = f"/questions/{choice.held_id}"
    await ana.post(address, choice_form(choice, 1))

    answer = await ben.post(address, choice_form(choice, 2))

    assert answer.status_code == HTTPStatus.CONFLICT
    assert "Ana has already answered this" in answer.text
    kept = await ana.world.stores.held.find(choice.held_id)
    assert kept is not None
    assert (kept.chosen, kept.by) == (0, "Ana")


async def test_what_was_overtaken_asks_again_and_an_answer_to_the_old_question_is_told(
    ana: Browser,
) -> None:
    _, choice = await ask(ana.world.stores)
    await ana.world.stores.held.ask_again(choice.held_id, Question.OVERTAKEN)

    answer = await ana.post(f"/questions/{choice.held_id}", choice_form(choice, 1))

    assert answer.status_code == HTTPStatus.CONFLICT
    assert "The question has changed since you loaded it" in answer.text
    assert "ground truth has changed since" in answer.text
    assert await released(ana.world) == []


async def test_a_choice_of_no_version_is_told(ana: Browser) -> None:
    _, choice = await ask(ana.world.stores)
    address = f"/questions/{choice.held_id}"

    nothing = await ana.post(address, {"asked": choice.question.value})
    beyond = await ana.post(address, choice_form(choice, 3))

    assert "Mark a version first" in nothing.text
    assert "There are only 2 versions" in beyond.text


async def test_what_annotators_write_is_shown_as_text(ana: Browser) -> None:
    named = Category(HOSTILE)
    version = version_by("<b>Eve</b>", "h000-1", Annotation(category=named, bbox=REGION))
    await ana.world.stores.held.hold([held(Question.UNKNOWN_CATEGORY, version, unknown=(named,))])

    for page in (await ana.get("/questions"), await ana.get(f"/questions/label?name={named}")):
        assert page.status_code == HTTPStatus.OK
        assert "<script>alert" not in page.text
        assert "<b>Eve" not in page.text


async def test_a_form_of_another_session_is_refused(ana: Browser) -> None:
    _, choice = await ask(ana.world.stores)

    for path, form in (("label", SAME), (choice.held_id, choice_form(choice, 1))):
        answer = await ana.post_raw(f"/questions/{path}", form)
        assert answer.status_code == HTTPStatus.FORBIDDEN
    assert await ana.world.stores.held.answers() == {}


async def test_an_answer_that_comes_again_is_known(ana: Browser, ben: Browser) -> None:
    _, choice = await ask(ana.world.stores)
    chosen, address = choice_form(choice, 2), f"/questions/{choice.held_id}"
    queued = {"HX-Request": "true"}

    answers = [await ana.post("/questions/label", SAME, **queued) for _ in range(2)]
    answers += [await ana.post(address, chosen, **queued) for _ in range(2)]
    other = await ben.post(address, choice_form(choice, 1), **queued)

    assert {answer.status_code for answer in answers} == {HTTPStatus.NO_CONTENT}
    assert answers[0].headers["Review-Next"].startswith(f"/review{address}")
    assert other.status_code == HTTPStatus.CONFLICT
    assert "Ana has already answered this" in other.text
