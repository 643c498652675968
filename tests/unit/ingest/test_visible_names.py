"""Names that nobody can tell apart are refused at every way in; stored ones are still read."""

import json
import re
from pathlib import Path

import pytest

from services.contracts import codec
from services.contracts.documents import schema
from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.identity import Category
from services.contracts.topics import topic_of
from services.contracts.visible_text import escaped, hidden_character
from services.formats import fields
from services.formats.frames import open_frame
from services.formats.items import FrameItem
from services.formats.json_files import read_json
from services.formats.readers.category_names import category_name
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from tests import samples
from tests.unit.ingest.datasets import jpeg
from tests.unit.ingest.web import BOX, GROUND_TRUTH, METADATA, PREDICTIONS, Web

HIDDEN = {
    "control": "a\x1fb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "soft hyphen": "a\xadb",
    "right to left override": "a\u202eb",
    "isolate": "a\u2066b",
    "zero-width space": "a\u200bb",
    "zero-width joiner": "a\u200db",
    "word joiner": "a\u2060b",
    "byte order mark": "\ufeffab",
    "line separator": "a\u2028b",
    "Hangul filler": "a\u3164b",
    "tag": "a\U000e0041b",
}
VISIBLE = ["stop sign", "Стоп", "停", "señal", "إشارة", "a\u0301", "🚦", "a-b_c/d.e", "⚠\ufe0f"]


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_a_character_that_nobody_sees_is_found_and_written_out(text: str) -> None:
    assert hidden_character(text) is not None
    shown = escaped(text)
    assert hidden_character(shown) is None
    assert shown.encode("ascii").decode("unicode_escape") == text


@pytest.mark.parametrize("text", VISIBLE)
def test_text_of_any_script_is_left_alone(text: str) -> None:
    assert hidden_character(text) is None
    assert escaped(text) == text


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
async def test_no_such_name_comes_in_by_http(text: str) -> None:
    web = Web()
    frames = [METADATA | {"frame_id": f"v1:{text}"}, METADATA | {"drive_id": f"v1:{text}"}]
    answers = [await web.post_frame(json.dumps(frame)) for frame in frames]
    for part in ("detector", "version", "frame_id"):
        prefix = "v1:" if part == "frame_id" else ""
        answers.append(await web.post("/v1/predictions", PREDICTIONS | {part: prefix + text}))
    made = PREDICTIONS | {"detections": [BOX | {"category": text, "score": 0.5}]}
    truth = GROUND_TRUTH | {"annotations": [BOX | {"category": text}]}
    answers.append(await web.post("/v1/predictions", made))
    answers.append(await web.post("/v1/ground-truth", truth, "annotation:ana"))

    assert {answer.status_code for answer in answers} == {422}
    reasons = {answer.json()["reason"] for answer in answers}
    assert reasons <= {"hidden_character", "malformed_record"}
    assert web.published == []
    assert all(text not in answer.json()["detail"] for answer in answers)


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u3000 "])
async def test_a_blank_category_is_none(blank: str) -> None:
    web = Web()
    truth = GROUND_TRUTH | {"annotations": [BOX | {"category": blank}]}

    answer = await web.post("/v1/ground-truth", truth, "annotation:ana")

    assert answer.status_code == 422
    assert web.published == []
    with pytest.raises(InvalidRecord):
        category_name(blank)


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_no_such_name_comes_in_by_a_data_set(text: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        category_name(text)
    assert refused.value.reason == "hidden_character"
    assert fields.own_frame_id(text) is None
    assert hidden_character(fields.frame_id("set", text)) is None  # written out, and kept apart


def test_a_reader_that_lets_such_an_id_through_is_caught_by_the_stage_after_it() -> None:
    item = FrameItem(
        frame_id=samples.frame_captured("set:a\u200bb").frame_id,
        vehicle_id=samples.frame_captured().vehicle_id,
        location="gt.json:images[0]",
        image=None,
        annotations=(),
    )

    refused = open_frame(item, ImageLimits.of(Settings()), "import")

    assert getattr(refused, "reason", None) == "hidden_character"
    assert "\\u200b" in getattr(refused, "detail", "")


def test_the_name_of_an_annotator_that_a_tool_gives_is_written_out() -> None:
    item = FrameItem(
        frame_id=samples.frame_captured("set:a").frame_id,
        vehicle_id=samples.frame_captured().vehicle_id,
        location="export.json[0]",
        image=None,
        annotations=(),
        annotated_by="Eve\u202e",
    )

    opened = open_frame(item, ImageLimits.of(Settings()), "reannotation")

    assert [entry.annotated_by for entry in getattr(opened, "versions", [])] == ["Eve\\u202e"]


def test_ground_truth_of_any_source_that_was_stored_is_still_read() -> None:
    stored = samples.frame_annotated().model_copy(update={"annotation_source": "tool"})

    assert codec.decode(topic_of(stored).name, codec.encode(stored)) == stored


@pytest.mark.parametrize("event", [FrameCaptured, PredictionsMade, FrameAnnotated])
def test_the_schemas_for_producers_say_so(event: type) -> None:

    properties = schema(event)["properties"]
    pattern = re.compile(properties["frame_id"]["pattern"])
    assert pattern.search("v1:2026-05-04T10:00:00.250Z")
    assert not any(pattern.search(text) for name, text in HIDDEN.items() if name != "tag")


@pytest.mark.parametrize("text", [name for name in HIDDEN.values() if name >= "a\x20"])
def test_what_was_stored_before_this_rule_is_still_read(text: str) -> None:
    event = samples.frame_annotated(Annotation(category=Category(text), bbox=(1, 2, 3, 4)))

    assert codec.decode(topic_of(event).name, codec.encode(event)) == event


async def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    web = Web()
    twice = json.dumps(GROUND_TRUTH)[:-1] + ', "annotations": []}'
    nested = json.dumps(GROUND_TRUTH).replace('"bbox"', '"category": "yield", "bbox"')
    metadata = json.dumps(METADATA)[:-1] + ', "frame_id": "v1:2"}'

    answers = [
        await web.post("/v1/ground-truth", twice.encode(), "annotation:ana"),
        await web.post("/v1/ground-truth", nested.encode(), "annotation:ana"),
        await web.post_frame(metadata),
    ]
    many = await web.post(
        "/v1/ground-truth",
        f"{twice}\n{json.dumps(GROUND_TRUTH)}".encode(),
        "annotation:ana",
        "application/x-ndjson",
    )

    assert {(answer.status_code, answer.json()["reason"]) for answer in answers} == {
        (400, "duplicate_key")
    }
    assert [item["status"] for item in many.json()["results"]] == ["refused", "accepted"]
    assert len(web.published) == 1
    file = tmp_path / "gt.json"
    file.write_text('{"images": [], "annotations": [1], "annotations": []}')
    with pytest.raises(
        InvalidRecord, match=r"gt\.json: the key 'annotations' stands twice"
    ) as refused:
        read_json(file)
    assert refused.value.reason == "duplicate_key"


@pytest.mark.parametrize("text", ["[NaN]", "\ufeff[1]", "[1e999]"])
def test_what_others_write_is_still_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.json"
    file.write_text(text, encoding="utf-8")

    assert len(read_json(file)) == 1


async def test_a_picture_that_comes_twice_is_refused() -> None:
    web = Web()
    files = [
        ("image", ("a.jpg", jpeg(), "image/jpeg")),
        ("image", ("b.jpg", jpeg(1), "image/jpeg")),
    ]
    data = {"metadata": json.dumps(METADATA)}

    answer = await web.client.post(
        "/v1/frames", files=files, data=data, headers=await web.headers()
    )

    assert (answer.status_code, answer.json()["reason"]) == (400, "duplicate_part")
    assert web.published == []


async def test_metadata_that_come_twice_are_refused() -> None:
    web = Web()
    data = {"metadata": [json.dumps(METADATA), json.dumps(METADATA)]}

    answer = await web.client.post(
        "/v1/frames",
        files={"image": ("a.jpg", jpeg(), "image/jpeg")},
        data=data,
        headers=await web.headers(),
    )

    assert (answer.status_code, answer.json()["reason"]) == (400, "duplicate_part")
    assert web.published == []
