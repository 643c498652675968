"""What the pages show."""

import csv
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from http import HTTPStatus
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from services.annotation.ports.needle_filters import NeedleFilter, Stage
from services.annotation.review.base_map import BaseMap
from services.annotation.review.listing import View
from services.annotation.stores.id_search_mongo import MongoIdSearch
from services.cli.work.frame_view import read_frame
from services.contracts.errors import InvalidRecord, InvalidSettings, StoreUnavailable
from services.contracts.events import Annotation, Detection, PredictionsMade
from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.metrics.subsets import Subset
from services.domain.ports.figures import Figures
from services.runtime.stores.mongo import connect
from tests.integration.review.conftest import Browser, served
from tests.review_world import (
    REGION,
    STOP,
    World,
    ask,
    dead_letter,
    needle_id_of,
    report_budgets,
    shortlist,
    version_by,
)
from tests.samples import frame_matched, needle_found
from tests.unit.annotation.review.test_base_map import LINE, archive, layer
from tests.unit.evaluator.test_versions import GHOST, NEW, OLD
from tests.unit.evaluator.test_versions import World as VersionWorld


async def test_the_start_page_shows_failure_modes_with_their_size(ana: Browser) -> None:
    page = (await ana.get("/")).text

    assert "3 needles in 2 modes" in page
    assert "<b>2</b>" in page


async def test_filters_are_in_the_address_and_stay_in_the_form(ana: Browser) -> None:
    page = (await ana.get("/needles?category=stop+sign&stage=open&sort=newest")).text

    assert "2 match" in page
    assert '<option value="newest" selected>' in page
    assert "category=stop+sign&amp;stage=open&amp;sort=newest" in page


async def test_the_rest_of_a_list_follows_the_needle_it_ends_with(ana: Browser) -> None:
    address = f"/needles/more?page=2&of=3&after={needle_id_of(0)}"

    rows = (await ana.get(address, **{"HX-Request": "true"})).text
    newest = (await ana.get(f"{address}&sort=newest", **{"HX-Request": "true"})).text

    assert [str(needle_id_of(n)) in rows for n in range(3)] == [False, True, True]
    assert [str(needle_id_of(n)) in newest for n in range(3)] == [False, False, False]
    assert (await ana.get("/needles/more?after=nothing")).status_code == HTTPStatus.NOT_FOUND


async def test_a_deployment_without_needles_says_so_on_its_pages(ana: Browser) -> None:
    settings = ana.world.context.settings
    database = connect(settings.mongodb, settings.mongodb_database)
    await database["needles"].delete_many({})
    missing = {
        "/": "No needles yet",
        "/needles": "No needles yet",
        "/needles?stage=todo": "No needles yet",
        "/needles/map": "No needle with a position",
        "/charts": "No metrics yet",
        "/charts/curves": "No curves yet",
        "/charts/work": "No family has a shortlist yet",
        "/versions": "Nothing to compare yet",
        "/map": "No map yet",
        "/map/shortlists": "No shortlists yet",
        "/budgets": "No shortlists yet",
        "/questions": "No open questions",
        "/categories": "No name is mapped",
        "/done": "No shortlists yet",
    }

    for path, words in missing.items():
        assert words in (await ana.get(path)).text, path
    await database.client.close()


async def test_the_end_of_a_review_counts_what_its_view_has_left(ana: Browser) -> None:
    settings = ana.world.context.settings
    database = connect(settings.mongodb, settings.mongodb_database)
    moved = {"$set": {"needle.drive_id": "d9"}}
    await database["needles"].update_one({"_id": needle_id_of(0)}, moved)
    await database.client.close()

    for view, left in (("drive=d9", "1 shortlist left"), ("drive=d0", "2 shortlists left")):
        page = (await ana.get(f"/done?{view}")).text
        assert f"{left} to review" in page, view
        assert (
            f"{left.partition(' ')[0]} match" in (await ana.get(f"/needles?{view}&stage=todo")).text
        )
    nothing = (await ana.get("/done?tag=vehicle%3Dv7")).text
    assert "No shortlists here" in nothing
    assert "3 shortlists are left outside this view" in nothing


async def test_needles_without_candidates_are_not_to_be_reviewed(ana: Browser) -> None:
    record = (await ana.world.stores.needles.load([needle_id_of(0)]))[needle_id_of(0)]
    assert record.needle is not None
    await ana.world.stores.needles.write_shortlists([shortlist(record.needle, [], revision=2)])

    assert "2 match" in (await ana.get("/needles?stage=todo")).text
    assert "2 to review" in (await ana.get("/")).text


async def test_needles_of_a_folder_from_before_are_to_be_reviewed_too(ana: Browser) -> None:
    settings = ana.world.context.settings
    database = connect(settings.mongodb, settings.mongodb_database)
    later = dict.fromkeys(("listed", "to_review", "group"), "")
    await database["needles"].update_many({}, {"$unset": later})
    assert "3 match" not in (await ana.get("/needles?stage=todo")).text
    assert await ana.world.stores.needle_lists.groups() == []

    await ana.world.stores.needle_lists.mark_older()

    assert "3 match" in (await ana.get("/needles?stage=todo")).text
    await database.client.close()


async def test_indexes_say_that_all_needles_are_marked_and_count_them(ana: Browser) -> None:
    settings = ana.world.context.settings
    database = connect(settings.mongodb, settings.mongodb_database)
    await ana.world.stores.needles.record([needle_found("without-a-shortlist")])
    await database.command("profile", 2)

    await ana.world.stores.needle_lists.mark_older()
    await ana.world.stores.needle_lists.groups()
    await ana.world.stores.needle_lists.count(NeedleFilter(category=STOP, stage=Stage.LISTED))

    await database.command("profile", 0)
    counted = {"op": {"$in": ["update", "command"]}, "docsExamined": {"$exists": True}}
    found = await database["system.profile"].find(counted).to_list()
    assert [(entry["op"], entry["docsExamined"]) for entry in found] == [
        ("update", 0),
        ("command", 0),
        ("command", 0),
    ]
    await database.client.close()


async def test_a_list_is_a_csv_file_too(ana: Browser) -> None:
    answer = await ana.get("/needles.csv?category=stop+sign")

    rows = [*csv.DictReader(answer.text.splitlines())]
    assert "attachment" in answer.headers["Content-Disposition"]
    assert [row["needle_id"] for row in rows] == [needle_id_of(0), needle_id_of(2)]
    assert [(row["candidates"], row["stage"], row["fails_too"]) for row in rows] == [
        ("4", "open", "0"),
        ("4", "open", "0"),
    ]


async def test_every_other_list_is_a_csv_file_too(ana: Browser) -> None:
    await report_budgets(ana.world.stores)

    async def rows(path: str) -> list[dict[str, str]]:
        return [*csv.DictReader((await ana.get(path)).text.splitlines())]

    modes = await rows("/modes.csv")
    assert [(row["needles"], row["frames"], row["decided"]) for row in modes] == [
        ("2", "8", "0"),
        ("1", "4", "0"),
    ]
    held_back = await rows("/budgets.csv?detector=ods@1&budget=day")
    assert [row["frame_id"] for row in held_back] == ["h000-0"]
    letters = await rows("/dead-letters.csv?state=resolved")
    assert [row["reason"] for row in letters] == ["missing_image"]


async def test_filters_are_saved_by_name_for_a_person(ana: Browser, ben: Browser) -> None:
    page = await ana.post("/needles/views?category=stop+sign&lost=1", {"name": "Signs"})
    assert "Saved as Signs" in page.text
    assert '<a href="/review/needles?category=stop+sign" aria-current="true">Signs</a>' in page.text
    assert "Signs" not in (await ben.get("/needles")).text
    assert "Name the view first" in (await ana.post("/needles/views", {"name": " "})).text

    await ana.post("/needles/views/delete", {"name": "Signs"})

    assert ">Signs<" not in (await ana.get("/needles")).text


async def test_open_questions_are_a_csv_file_too(ana: Browser) -> None:
    await ask(ana.world.stores)

    rows = [*csv.DictReader((await ana.get("/questions.csv")).text.splitlines())]

    assert [(row["question"], row["label_or_frame"], row["annotators"]) for row in rows] == [
        ("unknown label", "Stop_sgn", ""),
        ("annotators_disagree", "h000-2", "Eve, Finn"),
    ]


async def test_a_filter_that_nothing_matches_says_so(ana: Browser) -> None:
    assert "No needle matches" in (await ana.get("/needles?drive=none")).text


async def test_unknown_values_in_the_address_are_ignored_and_named(ana: Browser) -> None:
    answer = await ana.get("/needles?page=-1&sort=up&stage=%00&error_type=evil&category=%24where")

    assert answer.status_code == HTTPStatus.OK
    assert "unknown value <q>up</q> of <b>sort</b>" in answer.text
    assert "unknown value <q>evil</q> of <b>error type</b>" in answer.text
    assert "$where (0)" in answer.text


async def test_needles_without_a_shortlist_are_listed_on_request(ana: Browser) -> None:
    record = (await ana.world.stores.needles.load([needle_id_of(0)]))[needle_id_of(0)]
    assert record.needle is not None
    await ana.world.stores.needles.write_shortlists([shortlist(record.needle, [], revision=2)])

    listed = (await ana.get("/needles")).text
    every = (await ana.get("/needles?stage=any")).text

    assert "2 with a shortlist; " in listed
    assert "3 needles with and without a shortlist" in listed
    assert "0 of 2 shortlists, 0 of 8 frames decided" in listed
    assert [f"/review/needles/{needle_id_of(0)}" in page for page in (listed, every)] == [
        False,
        True,
    ]
    assert "no shortlist" in every


async def test_a_needle_tells_its_place_and_its_neighbours(ana: Browser) -> None:
    page = (await ana.get(f"/needles/{needle_id_of(1)}")).text

    assert "<b>2</b> of 3" in page
    assert f'rel="prev" href="/review/needles/{needle_id_of(0)}"' in page
    assert f'rel="next" href="/review/needles/{needle_id_of(2)}"' in page


async def test_neighbours_are_those_of_the_view(ana: Browser) -> None:
    page = (await ana.get(f"/needles/{needle_id_of(0)}?category=stop+sign")).text

    assert "<b>1</b> of 2" in page
    assert f'href="/review/needles/{needle_id_of(2)}?category=stop+sign"' in page


async def test_ground_truth_is_solid_and_predictions_are_dashed_by_their_class(
    ana: Browser,
) -> None:
    page = (await ana.get(f"/needles/{needle_id_of(0)}")).text

    assert page.count('<g class="region"') == 6  # the needle twice, and four candidates
    assert '<g class="truth"><title>ground truth: stop sign</title>' in page


async def test_a_picture_is_cut_out_and_kept_for_a_day_by_browsers(ana: Browser) -> None:
    answer = await ana.get("/picture?frame=r000&size=card&box=60,40,24,20")
    again = await ana.get(
        "/picture?frame=r000&size=card&box=60,40,24,20", **{"If-None-Match": answer.headers["ETag"]}
    )

    assert Image.open(BytesIO(answer.content)).size == (480, 360)
    # Not for good: redaction may be set later.
    assert answer.headers["Cache-Control"] == "private, max-age=86400"
    assert again.status_code == HTTPStatus.NOT_MODIFIED


async def test_a_part_in_its_native_size_is_not_enlarged(ana: Browser) -> None:
    answer = await ana.get("/picture?frame=r000&size=native&box=60,40,24,20")

    # Enlarged to the largest width of an image, it would take a gigabyte to draw.
    assert Image.open(BytesIO(answer.content)).width <= 100


async def test_ids_are_found_by_a_part(ana: Browser) -> None:
    several = (await ana.get("/frames?id=000-")).text
    one = await ana.get("/frames?id=000-3")
    needle = await ana.get(f"/frames?id={needle_id_of(0)[9:23]}")
    special = await ana.get("/frames?id=h.*")

    assert [f"/review/frames?id=h000-{place}" in several for place in range(4)] == [True] * 4
    assert one.headers["Location"] == "/review/frames?id=h000-3"
    assert needle.headers["Location"] == f"/review/needles/{needle_id_of(0)}"
    assert special.status_code == HTTPStatus.NOT_FOUND


async def test_a_search_that_gives_up_says_so_and_opens_no_frame(world: World) -> None:
    settings = world.context.settings
    database = connect(settings.mongodb, settings.mongodb_database)
    await database["frames"].insert_many([{"_id": f"many-{k}"} for k in range(20_000)])
    impatient = MongoIdSearch(database, patience_ms=1)
    stores = replace(world.context.stores, id_search=impatient)
    context = replace(world.context, stores=stores)
    browser = Browser(world, served(replace(world, context=context)))
    await browser.log_in("Ana")

    answer = await browser.get("/frames?id=nowhere")

    assert answer.status_code == HTTPStatus.OK
    assert "The search for ids with &#39;nowhere&#39; within them gave up" in answer.text
    assert "Give the beginning of the id" in answer.text
    with pytest.raises(InvalidRecord, match="gave up"):
        await read_frame(stores, "nowhere")
    await browser.client.aclose()
    await database.client.close()


async def test_a_frame_tells_what_was_said_of_it_and_where_it_is_used(ana: Browser) -> None:
    page = (await ana.get("/frames?id=h000-1")).text

    assert "Shortlisted for" in page
    assert f"/review/needles/{needle_id_of(0)}" in page
    assert "Stored" in page


async def test_two_detectors_are_drawn_side_by_side(ana: Browser) -> None:
    def detections(version: str, category: str) -> PredictionsMade:
        found = Detection(category=Category(category), score=0.5, bbox=REGION)
        return PredictionsMade(
            frame_id=FrameId("h000-1"), detector="ods", version=version, detections=(found,)
        )

    alone = (await ana.get("/frames?id=h000-1")).text
    await ana.world.stores.frames.record([detections("2", "barrier"), detections("3", "cone")])
    latest = (await ana.get("/frames?id=h000-1")).text
    chosen = (await ana.get("/frames?id=h000-1&left=ods@1&right=ods@3")).text
    unknown = (await ana.get("/frames?id=h000-1&left=ods@1&right=ods@9")).text

    assert "<figcaption>" not in alone
    for page, detectors in ((latest, ("2", "3")), (chosen, ("1", "3")), (unknown, ("2", "3"))):
        assert [f"<figcaption>ods@{n}</figcaption>" in page for n in "123"] == [
            n in detectors for n in "123"
        ]
    left, right = latest.split("<figcaption>ods@2</figcaption>")
    assert "barrier 0.50" in left
    assert "cone 0.50" not in left
    assert "cone 0.50" in right.partition("Predictions</h2>")[0]


async def test_needles_are_drawn_by_place_with_the_paths_of_their_drives(ana: Browser) -> None:
    page = (await ana.get("/needles/map")).text
    none = (await ana.get("/needles/map?category=nothing")).text

    needles = await ana.world.context.stores.needle_lists.count(View().wanted)
    assert f"{needles} needles of the list at {needles} places" in page
    assert page.count('class="drive"') == page.count("<title>d")
    assert f"/review/needles/{needle_id_of(0)}" in page
    assert "No needle with a position" in none


async def test_a_base_map_lies_below_the_drives(world: World, tmp_path: Path) -> None:
    streets = {0: layer("roads", LINE, [(0, 1344), (2048, 1344), (4096, 1344)])}
    base_map = BaseMap.open(archive(tmp_path / "city.pmtiles", streets))
    ana = Browser(world, served(replace(world, context=replace(world.context, base_map=base_map))))
    await ana.log_in("Ana")

    page = (await ana.get("/needles/map")).text

    assert '<path class="ground street" d="M' in page


async def test_a_category_of_any_text_leads_to_its_needles(ana: Browser) -> None:
    odd = f"""zone "30" & <i>l'été</i>?#%+{"x" * 60}"""
    await ana.world.stores.needles.record([needle_found("r000", category=odd)])

    modes = (await ana.get("/")).text
    (link,) = re.findall(r'href="/review(/needles[^"]*category=zone[^"]*)"', modes)
    needles = (await ana.get(unescape(link))).text

    assert "1 match" in needles
    assert f">{odd}</a>" in unescape(needles)
    assert "<i>" not in modes + needles


async def test_pages_name_their_files_with_versions(ana: Browser) -> None:
    page = (await ana.get("/needles")).text

    names = re.findall(r'(?:src|href)="/review(/static/[^"]+)"', page)
    kept = [(await ana.get(name)).headers["Cache-Control"] for name in names]
    other = await ana.get("/static/review.css")

    assert len(names) >= 5
    assert set(kept) == {"private, max-age=31536000, immutable"}
    assert other.headers["Cache-Control"] == "no-cache"


async def test_a_frame_tells_when_each_service_was_done_with_it(ana: Browser) -> None:
    stores = ana.world.stores
    await stores.matches.record([frame_matched("r000", category=STOP)])

    own = await stores.frame_times.of(FrameId("r000"))
    listed = await stores.frame_times.of(FrameId("h000-1"))

    assert own.keys() >= {"captured", "ground_truth", "predictions ods@1", "matched", "needles"}
    assert "shortlisted" not in own
    assert listed["shortlisted"] >= listed["captured"]
    assert f"{own['matched']:%Y-%m-%d %H:%M:%S}" in (await ana.get("/frames?id=r000")).text


async def test_a_frame_leads_along_its_drive(ana: Browser) -> None:
    middle = (await ana.get("/frames?id=h001-1")).text
    first = (await ana.get("/frames?id=h000-1")).text

    assert 'rel="prev" data-frame href="/review/frames?id=h000-1"' in middle
    assert 'rel="next" data-frame href="/review/frames?id=h002-1"' in middle
    assert 'rel="prev"' not in first


async def test_a_frame_lists_the_revisions_of_its_ground_truth(ana: Browser) -> None:
    stores = ana.world.stores
    later = version_by("Eve", "h001-3", Annotation(category=STOP, bbox=REGION))
    second = later.model_copy(update={"revision": 2})
    for event in (later.model_copy(update={"revision": 3}), second, second):
        await stores.frames.record([event])

    revisions = await stores.frame_times.revisions(FrameId("h001-3"))
    page = (await ana.get("/frames?id=h001-3")).text

    assert [(revision.revision, revision.by, revision.objects) for revision in revisions] == [
        (3, "Eve", 1),
        (2, "Eve", 1),
        (1, None, 1),
    ]
    assert page.count("<td>reannotation, Eve</td>") == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/frames?id=nowhere", "There is no frame"),
        ("/needles/nothing", "There is no such needle."),
        ("/nowhere", "There is no page at this address."),
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(
    ana: Browser, path: str, message: str
) -> None:
    answer = await ana.get(path)

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "Not found" in answer.text
    assert message in answer.text
    assert 'aria-label="Main"' in answer.text


async def test_who_is_not_in_is_told_what_is_not_there_without_the_navigation(ana: Browser) -> None:
    ana.client.cookies.clear()

    answer = await ana.get("/nowhere")

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert 'aria-label="Main"' not in answer.text


async def test_dead_letters_are_sent_again_by_reason_and_one_by_one(ana: Browser) -> None:
    await ana.post("/dead-letters/replay", {"service": "embedder", "reason": "other"})
    assert ana.world.replayed == []

    await ana.post("/dead-letters/replay", {"service": "embedder", "reason": "truncated_image"})
    assert len(ana.world.replayed) == 2


async def test_dead_letters_are_discarded_by_reason_and_one_by_one(ana: Browser) -> None:
    await ana.post("/dead-letters/discard", {"service": "embedder", "reason": "truncated_image"})
    assert len(ana.world.discarded) == 2

    one = dead_letter(2).letter_id
    answer = await ana.post("/dead-letters/discard", {"letter": one})
    assert ana.world.discarded[2:] == [one]
    assert "1 discarded." in answer.text


async def test_letters_are_shown_by_their_state(ana: Browser) -> None:
    unsettled = (await ana.get("/dead-letters")).text
    resolved = (await ana.get("/dead-letters?state=resolved")).text

    assert "3 records could not be processed" in unsettled
    assert "resolved 1" in unsettled
    assert "missing image" not in unsettled
    assert "missing image" in resolved
    assert "after 1 replay" in resolved


async def test_letters_that_never_were_on_a_topic_have_no_button(ana: Browser) -> None:
    of_frames = (await ana.get("/dead-letters?service=embedder&reason=truncated_image")).text
    of_a_file = (await ana.get("/dead-letters?service=ingest&reason=unfinished_task")).text

    assert "gt.json:images[2]" in of_a_file
    # One for the reason that can be sent again, and one for each of its letters that is shown.
    assert of_frames.count("/dead-letters/replay") == 3
    assert of_a_file.count("/dead-letters/replay") == 1


async def test_letters_that_the_page_may_not_send_are_left_to_who_runs_it(ana: Browser) -> None:
    ana.world.refused.append(InvalidSettings("Kafka lets gazeloop-review in, but not to this"))

    answer = await ana.post("/dead-letters/replay", {"reason": "truncated_image"})

    assert answer.status_code == HTTPStatus.OK
    assert "Kafka does not let this page send to gaze.frames" in answer.text
    assert "gazeloop dead-letters replay" in answer.text


async def test_charts_are_empty_before_there_are_figures(ana: Browser) -> None:
    assert "No metrics yet" in (await ana.get("/charts")).text


def test_a_view_survives_its_address() -> None:
    params = {"category": "a & b", "stage": "done", "sort": "oldest", "page": "3"}

    view = View.of(params)

    assert view.query() == "?category=a+%26+b&stage=done&sort=oldest&page=3"
    assert View.of({}).query() == ""
    assert View.of({"stage": "any"}).query() == "?stage=any"


@pytest.mark.parametrize("page", ["", "0", "-1", "two", "9" * 5000])
def test_an_address_without_a_page_number_names_the_first_page(page: str) -> None:
    assert View.of({"page": page}).page == 1


async def test_curves_come_as_they_were_noted(ana: Browser) -> None:
    await ana.world.stores.curves.put("ods@1", Subset.REST, b'{"scores": []}')

    found = await ana.get("/curves?detector=ods@1&subset=H-S")
    missing = await ana.get("/curves?detector=ods@1")
    unknown = await ana.get("/curves?detector=ods@1&subset=T")

    assert (found.headers["content-type"], found.json()) == ("application/json", {"scores": []})
    assert missing.status_code == 404
    assert "no curves of ods@1 on all yet" in missing.text
    assert unknown.status_code == 422


async def test_charts_draw_each_subset_and_say_the_latest_figures(ana: Browser) -> None:
    for hour in range(3):
        await ana.world.stores.figures.add(
            Figures(
                "ods@1",
                ana.world.clock.now() + timedelta(hours=hour),
                {"R": 0.5, "H": 0.4 + hour / 100, "S": None, "H-S": 0.45},
                found=0.7,
                random_yield=0.35,
                lift=2.0,
                queue={"open": 3 - hour, "started": hour, "done": 0},
                lowest_yield=0.6,
                highest_yield=0.1,
                gain=0.54,
                intervals={"lift": (1.7, 2.3)},
            )
        )

    page = (await ana.get("/charts?span=year")).text

    assert "latest: R 0.500, H 0.420, S \u2013, H\u2212S 0.450" in page
    assert page.count('class="curve c2" d="M') == 3  # H, the random draw, started
    assert page.count('class="band c1" d="M') == 1
    assert "latest: lift 2.00 (95%: 1.70 to 2.30)" in page
    assert (
        "latest: shortlist 0.700, random draw 0.350, lowest scores 0.600, highest scores 0.100"
        in page
    )


async def test_figures_that_have_not_changed_for_long_are_shown_all_the_same(ana: Browser) -> None:
    add, now = ana.world.stores.figures.add, ana.world.clock.now()
    for detector, days, value in (("quiet@1", 60, 0.41), ("ods@1", 50, 0.5), ("ods@1", 1, 0.6)):
        at = now - timedelta(days=days)
        await add(Figures(detector, at, {"H": value}, None, None, None, {"open": 1}))

    quiet = (await ana.get("/charts?detector=quiet@1")).text
    other = (await ana.get("/charts?detector=ods@1")).text
    end = (await ana.get("/done")).text

    assert "latest: R \u2013, H 0.410" in quiet
    assert '<option value="quiet@1">' in other
    assert other.count('class="curve c2" d="M') == 2  # H and started: from 30 days ago on
    assert re.search(
        r"quiet@1 .*?<td class=.num.>0.410</td><td class=.num.>0.410</td>", end, re.DOTALL
    )
    assert "+0.100" in end


async def test_versions_are_empty_before_two_of_a_detector_can_be_compared(ana: Browser) -> None:
    assert "Nothing to compare yet" in (await ana.get("/versions")).text


async def test_versions_show_what_a_version_fixed(ana: Browser) -> None:
    world = VersionWorld()
    for k in range(7):
        await world.put(f"f{k}", (GHOST,), ())
    content = (await world.compare()).without_frames().model_dump_json().encode()
    store = ana.world.stores.comparisons
    await store.show({(OLD, DetectorId("gone@1")): content})
    await store.show({(OLD, NEW): content})

    page = (await ana.get("/versions?pair=unknown")).text

    assert "<b>1</b> fixed" in page
    assert "on 7 reference frames" in page
    assert "f0" not in content.decode()
    assert list(await store.all()) == [(OLD, NEW)]


async def test_budgets_are_empty_before_there_are_shortlists(ana: Browser) -> None:
    assert "No shortlists yet" in (await ana.get("/budgets")).text


async def test_budgets_show_what_is_spent_and_what_they_hold_back(ana: Browser) -> None:
    await report_budgets(ana.world.stores)

    page = (await ana.get("/budgets?detector=ods@1")).text

    whole = '<td class="num">300</td><td class="num">1,200</td><td class="num">900</td>'
    day = '<td class="num">3</td><td class="num">3</td><td class="num">0</td>'
    assert (page.count(whole), page.count(day)) == (1, 1)
    assert "301 held back" in page
    assert [f"/review/frames?id=h000-{place}" in page for place in range(4)] == [
        True,
        True,
        True,
        False,
    ]
    assert "The first 3 are shown" in page


async def test_frames_held_back_are_shown_by_budget_and_by_detector(ana: Browser) -> None:
    await report_budgets(ana.world.stores)

    day = (await ana.get("/budgets?detector=ods@1&budget=day")).text
    other = (await ana.get("/budgets?detector=a@1&budget=day")).text
    unknown = (await ana.get("/budgets?detector=nobody&budget=%00")).text

    assert "1 held back by the budget of day" in day
    assert ["h000-0" in day, "h000-1" in day] == [True, False]
    assert "0 held back" in other
    assert "Every frame with enough evidence is on a shortlist" in other
    assert "301 held back" in unknown


async def test_an_unexpected_error_is_a_page_that_betrays_nothing(
    ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ValueError("a secret in a traceback")

    monkeypatch.setattr(ana.world.context.stores.needle_lists, "groups", broken)

    answer = await ana.get("/needles")

    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "was logged" in answer.text
    assert 'aria-label="Main"' in answer.text
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_store_that_is_away_is_told_beside_what_is_on_the_page(
    ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise StoreUnavailable("mongodb://user:password@host")

    monkeypatch.setattr(ana.world.context.stores.needle_lists, "groups", away)

    whole = await ana.get("/needles")
    part = await ana.get("/needles", **{"HX-Request": "true"})

    assert (whole.status_code, part.status_code) == (503, 503)
    assert whole.headers["Retry-After"] == "5"
    assert part.headers["HX-Retarget"] == "#notice"
    assert "password" not in whole.text + part.text
