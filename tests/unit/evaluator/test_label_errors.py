"""Label errors of stored frames."""

import csv
import io

import orjson
import pytest

from services.cli.work import label_errors as command
from services.contracts.events import Split
from services.contracts.identity import FrameId
from services.domain.mining.label_error import LabelError
from services.domain.mining.suspected_labels import SuspectedLabel
from services.domain.splits import SplitRule
from services.evaluator.reports.label_errors import read_label_errors
from tests import samples
from tests.fakes.frames import InMemoryFrameStore

RULE = SplitRule(0.5, by_frame=True)


async def stored(frames: int) -> InMemoryFrameStore:
    """Frames with one sure detection, annotated but for every fifth; two versions see the same."""
    store = InMemoryFrameStore()
    for number in range(frames):
        name = f"f{number}"
        there = () if number % 5 == 0 else (samples.annotation(),)
        made = [
            samples.predictions_made(samples.detection(), frame_id=name, version=version)
            for version in ("1", "2")
        ]
        truth = samples.frame_annotated(*there, frame_id=name)
        await store.record([samples.frame_captured(name, None), truth, *made])
    return store


async def test_labels_that_both_versions_miss_are_named_once() -> None:
    found = await read_label_errors(await stored(40), RULE, None)
    assert {(s.frame_id, s.error) for s in found} == {
        (f"f{number}", LabelError.MISSING) for number in range(0, 40, 5)
    }
    assert len(found) == 8


async def test_only_frames_of_the_split_count_and_partial_ones_do_not() -> None:
    store = await stored(40)
    await store.record([samples.frame_annotated(frame_id="f0", revision=2, complete=False)])
    found = await read_label_errors(store, RULE, Split.REFERENCE)
    expected = {
        FrameId(f"f{number}")
        for number in range(5, 40, 5)
        if RULE.split_of(FrameId(f"f{number}"), None) is Split.REFERENCE
    }
    assert {s.frame_id for s in found} == expected


async def test_what_images_hide_is_no_label_that_somebody_forgot() -> None:
    store = await stored(40)
    for number in range(40):
        face = samples.detection(category="face", bbox=(300.0, 300.0, 40.0, 40.0))
        made = samples.predictions_made(face, frame_id=f"f{number}")
        await store.record([made.model_copy(update={"detector": "faces"})])

    found = await read_label_errors(store, RULE, None, redacting="faces")

    assert found == await read_label_errors(await stored(40), RULE, None)


async def test_a_frame_whose_image_did_not_arrive_yet_is_left_out() -> None:
    store = await stored(40)
    predictions = samples.predictions_made(samples.detection(), frame_id="early")
    await store.record([samples.frame_annotated(frame_id="early"), predictions])
    found = await read_label_errors(store, RULE, None)
    assert "early" not in {s.frame_id for s in found}


def test_a_row_of_csv_names_the_box(capsys: pytest.CaptureFixture[str]) -> None:
    box = (1.0, 2.5, 3.0, 4.0)
    suspect = SuspectedLabel(
        FrameId("f"), LabelError.PLACEMENT, box, samples.STOP_SIGN, samples.STOP_SIGN, 0.51239
    )
    command.print_csv([suspect])
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row == {
        "kind": "placement",
        "suspicion": "0.5124",
        "frame_id": "f",
        "annotated_as": "stop sign",
        "category": "stop sign",
        "bbox": "1 2.5 3 4",
    }
    assert orjson.loads(orjson.dumps(command.document(suspect)))["bbox"] == list(box)
