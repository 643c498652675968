"""Which frames are exported, from real stores."""

import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from services.annotation import exporting
from services.annotation.export_choice import What
from services.annotation.exporting import (
    accepted_regions,
    chosen_frames,
    named_frames,
    shown_images,
    training_frames,
    write_export,
)
from services.annotation.ports.needle_filters import NeedleFilter, Sort
from services.annotation.ports.reviews import Act, ReviewEvent
from services.annotation.tables import write_tables
from services.cli.work.shortlist_documents import shortlist_documents
from services.contracts.errors import InvalidRecord
from services.contracts.events import Sampling, Split
from services.contracts.identity import FrameId, NeedleId, RegionId
from services.domain.ports.needles import NeedleRecord
from services.domain.splits import SplitRule
from services.formats.writers.format_names import Format
from services.formats.writers.frames import ExportFrame
from services.formats.writers.tables import TableFormat
from services.runtime.shown_images import ShownImages
from tests import samples
from tests.integration.review.conftest import Browser
from tests.integration.review.test_reviewing import PAGE, values
from tests.review_world import HOSTILE, World

EVERY = NeedleFilter()


def ids(frames: list[ExportFrame]) -> list[str]:
    return [frame.frame_id for frame in frames]


async def test_frames_are_chosen_by_their_tags_too(world: World) -> None:
    everything = await chosen_frames(world.stores, What.NEEDLES, EVERY)
    (vehicle,) = {frame.vehicle_id for frame in everything}
    own, other = (frozenset({("vehicle", name)}) for name in (str(vehicle), "another"))

    assert await chosen_frames(world.stores, What.NEEDLES, EVERY, own) == everything
    assert await chosen_frames(world.stores, What.NEEDLES, EVERY, other) == []

    listed = await shortlist_documents(world.stores, EVERY, own)
    assert listed == [
        item for item in await shortlist_documents(world.stores, EVERY) if item["frames"]
    ]
    assert await shortlist_documents(world.stores, EVERY, other) == []


async def test_shortlisted_frames_come_with_what_is_proposed_for_them(world: World) -> None:
    frames = await chosen_frames(world.stores, What.SHORTLISTED, NeedleFilter(category=HOSTILE))

    assert ids(frames) == [f"h001-{place}" for place in range(4)]
    assert [proposal.category for proposal in frames[0].proposals] == [HOSTILE]


async def test_needles_are_the_frames_that_they_are_on(world: World) -> None:
    assert ids(await chosen_frames(world.stores, What.NEEDLES, EVERY)) == ["r000", "r001", "r002"]


async def test_a_needle_that_is_retracted_meanwhile_makes_no_other_one_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_PAGE", 1)
    needles = world.stores.needles
    load = needles.load

    async def retracting(needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        found = await load(needle_ids)
        for record in found.values():
            assert record.needle is not None
            await needles.record([samples.needle_retracted(record.needle, revision=2)])
        return found

    monkeypatch.setattr(needles, "load", retracting)

    assert ids(await chosen_frames(world.stores, What.NEEDLES, EVERY)) == ["r000", "r001", "r002"]


async def test_named_frames_come_without_proposals(world: World) -> None:
    names = [FrameId(name) for name in ("h001-2", "unknown", "h000-0")]
    frames = await named_frames(world.stores, {name: {} for name in names})

    assert ids(frames) == ["h000-0", "h001-2"]
    assert [frame.proposals for frame in frames] == [(), ()]


async def test_accepted_frames_are_those_that_an_annotator_accepted(ana: Browser) -> None:
    first, second, *_ = await values(ana)
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": [second]})
    await ana.post(f"{PAGE}/decisions", {"act": "reject", "region": [first]})

    assert ids(await chosen_frames(ana.world.stores, What.ACCEPTED, EVERY)) == ["h000-1"]


async def test_verdicts_on_more_needles_than_one_answer_can_name_are_exported(
    world: World, tmp_path: Path
) -> None:
    name, most = "n" * 1_000_000, 17  # MongoDB's answers have 16 MB at most
    for number in range(most):
        needle_id, region = NeedleId(f"{name}{number}"), RegionId(f"r{number}")
        event = ReviewEvent(needle_id, 1, Act.ACCEPT, (region,), "Ana", "t", world.clock.now())
        assert await world.stores.reviews.append(event)

    assert len(await accepted_regions(world.stores)) == most
    rows = await write_tables(world.stores, TableFormat.CSV, tmp_path / "tables")
    assert rows["verdicts"] == most


async def test_drawn_frames_are_those_that_shortlists_have_by_chance(world: World) -> None:
    assert await chosen_frames(world.stores, What.DRAWN, EVERY) == []
    row, *_ = await world.stores.needle_lists.page(EVERY, Sort.OLDEST, skip=0, limit=1)
    needle_id = row.needle.needle_id
    shortlist = (await world.stores.needles.load([needle_id]))[needle_id].shortlist
    assert shortlist is not None
    first, second, *others = shortlist.candidates
    drawn = second.model_copy(update={"sampling": Sampling(campaign="c", probability=0.5)})
    changes = {"candidates": (first, drawn, *others), "revision": shortlist.revision + 1}
    await world.stores.needles.write_shortlists([shortlist.model_copy(update=changes)])

    frames = await chosen_frames(world.stores, What.DRAWN, EVERY)

    assert ids(frames) == [second.frame_id]


async def test_a_correction_is_exported_before_any_service_has_seen_it(ana: Browser) -> None:
    region = (await values(ana))[0].partition("@")[0]
    await ana.post(f"{PAGE}/corrections", {"region": region, "edit": "no_object", "revision": "1"})

    (frame, *_) = await chosen_frames(ana.world.stores, What.SHORTLISTED, EVERY)

    assert (frame.frame_id, frame.revision, frame.corrected) == ("h000-0", 2, True)


async def test_a_training_set_never_holds_a_reference_frame_and_weighs_what_is_confirmed(
    ana: Browser,
) -> None:
    settings = ana.world.context.settings.model_copy(update={"reference_share": 0.4})
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": await values(ana)})

    frames = await training_frames(ana.world.stores, settings)

    everything = await chosen_frames(ana.world.stores, What.ANNOTATED, EVERY)
    splits = {
        frame.frame_id: SplitRule(0.4).split_of(frame.frame_id, frame.drive_id)  # type: ignore[arg-type]
        for frame in everything
    }
    assert ids(frames) == [split for split in splits if splits[split] is Split.HAYSTACK]
    assert 0 < len(frames) < len(everything)
    assert {frame.weight for frame in frames if frame.frame_id.startswith("h000")} <= {3}
    assert {frame.weight for frame in frames if not frame.frame_id.startswith("h000")} == {1}


async def test_a_training_set_holds_no_frame_that_was_matched_as_reference(world: World) -> None:
    matched = samples.frame_matched("h001-2", split=Split.REFERENCE)
    everything = ids(await training_frames(world.stores, world.context.settings))
    await world.stores.matches.record([matched])

    frames = await training_frames(world.stores, world.context.settings)

    assert set(everything) - set(ids(frames)) == {"h001-2"}


async def test_an_export_has_its_images_and_a_manifest_and_is_reproducible(
    world: World, tmp_path: Path
) -> None:
    frames = await chosen_frames(world.stores, What.NEEDLES, EVERY)
    images = ShownImages.of(world.stores.blobs, world.context.settings)
    shown = await shown_images(world.stores, frames, images)
    for name in ("a", "b"):
        write_export(frames, Format.YOLO, tmp_path / name, shown, images)

    content = json.loads((tmp_path / "a/manifest.json").read_text())
    assert (tmp_path / "a/manifest.json").read_bytes() == (
        tmp_path / "b/manifest.json"
    ).read_bytes()
    assert (tmp_path / "a/images/r000.png").read_bytes()[:4] == b"\x89PNG"
    assert content["frames"]["r000.png"]["revision"] == 1
    assert content["counts"] == {"frames": 3, "annotations": 3, "proposals": 3}
    written = {f"images/{name}": item["sha256"] for name, item in content["frames"].items()}
    for path, digest in (content["files"] | written).items():
        assert hashlib.sha256((tmp_path / "a" / path).read_bytes()).hexdigest() == digest


async def test_a_folder_that_holds_something_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    frames = [
        replace(chosen_frame)
        for chosen_frame in await chosen_frames(world.stores, What.NEEDLES, EVERY)
    ]

    with pytest.raises(InvalidRecord, match="not empty"):
        write_export(frames, Format.COCO, tmp_path, {}, None)

    assert os.listdir(tmp_path) == ["mine.txt"]  # noqa: PTH208  # pathlib's own would block here
