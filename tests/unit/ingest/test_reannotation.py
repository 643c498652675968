"""Corrections through each format: what cannot be used is named, and spoils no other frame."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from services.contracts.dead_letters import DeadLettered
from services.contracts.events import Annotation, FrameAnnotated, FrameCaptured
from services.contracts.identity import Category
from services.formats.items import Dataset
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest
from services.formats.readers.via import read_via
from services.formats.writers.coco import INSTANCES
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS, manifest
from services.ground_truth.drafts import entry_of
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.ingest.summary import Summary
from tests import samples
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.ingest.parts import parts_in_memory
from tests.unit.ingest.test_exporters import STOP, frame, write
from tests.unit.ingest.test_round_trip import READERS

GOOD = Annotation(category=STOP, bbox=(10.0, 20.0, 30.0, 40.0))
OUTSIDE = Annotation(category=STOP, bbox=(700.0, 20.0, 30.0, 40.0))
FAR_OUTSIDE = Annotation(category=STOP, bbox=(5000.0, 20.0, 30.0, 40.0))
RENAMED = Annotation(category=Category("yield"), bbox=GOOD.bbox)


class Returned(NamedTuple):
    """What was published of it."""

    summary: Summary
    truths: dict[str, FrameAnnotated]
    letters: list[DeadLettered]
    left: set[str]


class Stack:
    """Where frames of these names were published before."""

    def __init__(self, *known: str) -> None:
        self._known = known
        self._ledger = InMemoryLedger()

    async def publish(self, dataset: Dataset) -> Returned:
        outbox = InMemoryOutbox()
        seen = [entry_of(samples.frame_captured(name)) for name in self._known]
        await self._ledger.assign(seen)
        await self._ledger.confirm(seen)
        parts = replace(parts_in_memory(), outbox=outbox, ledger=self._ledger)
        summary = await publish_dataset(dataset.items, parts, source=Source.REANNOTATION)
        published = outbox.published
        assert not any(isinstance(event, FrameCaptured) for event in published)
        truths = {truth.key(): truth for truth in published if isinstance(truth, FrameAnnotated)}
        letters = [letter for letter in published if isinstance(letter, DeadLettered)]
        return Returned(summary, truths, letters, set(dataset.left))


async def publish(dataset: Dataset, *known: str) -> Returned:
    """Publish corrections of frames that were published before."""
    return await Stack(*known).publish(dataset)


def exported(form: Format, folder: Path, **frames: tuple[Annotation, ...]) -> Dataset:
    """What a tool wrote after it was sent both frames with one good box."""
    before = [frame(name, annotations=(GOOD,)) for name in ("good", "bad")]
    now = [frame(name, annotations=item) for name, item in frames.items()]
    files = {**EXPORTERS[form](now).files, "manifest.json": manifest(EXPORTERS[form](before))}
    write(files, folder)
    sent = Manifest.read(folder / "manifest.json")
    reader, says = READERS[form]
    return restored(reader(folder, sent), sent, says)


@pytest.mark.parametrize("form", Format)
async def test_a_box_outside_the_image_is_named_and_its_frame_goes_on_without_it(
    form: Format, tmp_path: Path
) -> None:
    returned = await publish(
        exported(form, tmp_path, good=(GOOD,), bad=(GOOD, OUTSIDE)), "good", "bad"
    )

    assert [annotation.bbox for annotation in returned.truths["bad"].annotations] == [GOOD.bbox]
    assert returned.left == set()
    assert dict(returned.summary.rejected) == {"box_outside_image": 1}
    (letter,) = returned.letters
    kept = letter.original_value
    assert any(x in kept for x in (b"700", b"109.375", b"1.1171875"))  # as the format says it
    assert letter.location


@pytest.mark.parametrize("form", Format)
async def test_a_box_in_another_unit_refuses_the_frame_whose_object_it_would_be(
    form: Format, tmp_path: Path
) -> None:
    returned = await publish(
        exported(form, tmp_path, good=(GOOD,), bad=(GOOD, FAR_OUTSIDE)), "good", "bad"
    )

    assert "bad" not in returned.truths
    assert {letter.reason for letter in returned.letters} == {"box_far_outside"}


@pytest.mark.parametrize("form", Format)
async def test_a_changed_label_is_taken_as_it_is(form: Format, tmp_path: Path) -> None:
    returned = await publish(exported(form, tmp_path, good=(GOOD,), bad=(RENAMED,)), "good", "bad")

    (renamed,) = returned.truths["bad"].annotations
    assert renamed.category == "yield"
    assert returned.truths["bad"].annotation_source == "reannotation"
    assert returned.letters == []


@pytest.mark.parametrize("form", Format)
async def test_a_deleted_task_leaves_its_frame_as_it_was_and_is_named(
    form: Format, tmp_path: Path
) -> None:
    returned = await publish(exported(form, tmp_path, good=()), "good", "bad")

    assert list(returned.truths) == ["good"]
    assert returned.truths["good"].annotations == ()
    assert returned.left == {"bad"}


async def test_a_correction_that_is_taken_back_gets_a_revision_and_a_repeat_gets_none(
    tmp_path: Path,
) -> None:
    stack = Stack("good")
    first, second = (tmp_path / name for name in ("first", "second"))
    exported(Format.COCO, first, good=(GOOD,))
    exported(Format.COCO, second, good=(RENAMED,))

    async def again(folder: Path) -> list[int]:
        sent = Manifest.read(folder / "manifest.json")
        reader, says = READERS[Format.COCO]
        returned = await stack.publish(restored(reader(folder, sent), sent, says))
        return [truth.revision for truth in returned.truths.values()]

    folders = (first, first, second, second, first, first, second)
    assert [await again(folder) for folder in folders] == [[1], [], [2], [], [3], [], [4]]


Spoil = Callable[[str], str]
SPOILT: dict[Format, tuple[str, Spoil]] = {
    Format.COCO: (INSTANCES, lambda text: text.replace("30.0", "NaN", 1)),
    Format.VOC: ("Annotations/bad.xml", lambda text: text.replace("<xmax>40.0", "<xmax>oh")),
    Format.YOLO: ("labels/bad.txt", lambda text: text + "0 .5 .5 .1\n"),
    Format.CVAT: ("annotations.xml", lambda text: text.replace('xbr="40.0"', 'xbr="oh"', 1)),
    Format.LABEL_STUDIO: ("tasks.json", lambda text: text.replace('"rectanglelabels"', '"x"', 1)),
    Format.DATUMARO: (
        "annotations/default.json",
        lambda text: text.replace('"label_id": 0', '"label_id": 9', 1),
    ),
}


@pytest.mark.parametrize("form", Format)
async def test_a_record_that_cannot_be_used_refuses_its_frame_and_no_other(
    form: Format, tmp_path: Path
) -> None:
    exported(form, tmp_path, bad=(GOOD,), good=(GOOD,))
    name, spoil = SPOILT[form]
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(spoil(text))
    assert spoil(text) != text
    sent = Manifest.read(tmp_path / "manifest.json")
    reader, says = READERS[form]

    returned = await publish(restored(reader(tmp_path, sent), sent, says), "good", "bad")

    assert list(returned.truths) == ["good"]
    assert returned.summary.rejected.total() >= 1
    assert returned.letters


async def test_a_via_project_comes_back_to_the_frames_that_were_sent(tmp_path: Path) -> None:
    exported(Format.CVAT, tmp_path, good=(GOOD,))
    region = {
        "shape_attributes": {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40},
        "region_attributes": {"category": STOP},
    }
    circle = {"shape_attributes": {"name": "circle"}, "region_attributes": {"category": STOP}}
    project = {
        "good.jpg1": {"filename": "good.jpg", "regions": [region]},
        "bad.jpg1": {"filename": "sub/bad.png", "regions": [region, circle]},
        "else.jpg1": {"filename": "else.jpg", "regions": []},
    }
    (tmp_path / "via.json").write_text(json.dumps(project))
    sent = Manifest.read(tmp_path / "manifest.json")

    dataset = restored(read_via(tmp_path / "via.json", images=None, sent=sent), sent, ())
    returned = await publish(dataset, "good", "bad")

    assert returned.truths["good"].annotations == (GOOD,)
    assert list(returned.truths) == ["good"]
    assert dict(returned.summary.rejected) == {
        "unsupported_shape": 1,
        "incomplete_frame": 1,
        "unknown_image": 1,
    }
