"""A detector's output in its vendor's format, as the body of a request."""

import json
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.contracts.events import PredictionsMade
from services.runtime.http.answers import LISTED_REFUSALS
from tests.unit.ingest.test_http import refusal
from tests.unit.ingest.web import Web

MESSAGE = {
    "id": "7",
    "@timestamp": "2026-05-04T10:00:00.250Z",
    "sensorId": "cam",
    "objects": ["957|10|20|40|60|sign|#|0.75"],
}
MESSAGE_LINE = json.dumps(MESSAGE).encode()
QUERY = "/v1/predictions?format=deepstream&detector=signs@4.2"
OBJECTS = "/v1/predictions?format=deepstream-full&detector=signs@4.2"
COCO = "/v1/predictions?format=coco&detector=signs@4.2"
COCO_LISTS = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "categories": [{"id": 1, "name": "sign"}],
}
NO_IMAGE = {"category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.75}
RESULT = NO_IMAGE | {"image_id": 1}
NDJSON = "application/x-ndjson"


@pytest.fixture
def web() -> Web:
    return Web()


def refused_by_http(reason: str) -> float:
    labels = {"reason": reason, "way": "http"}
    return REGISTRY.get_sample_value("gazeloop_rejected_records_total", labels) or 0.0


def made(web: Web) -> list[PredictionsMade]:
    return [event for event in web.published if isinstance(event, PredictionsMade)]


async def test_a_message_is_published_as_the_predictions_of_the_vehicles_frame(web: Web) -> None:
    answer = await web.post(f"{QUERY}&frame_id=v1:{{sensorId}}:{{id}}", MESSAGE)
    (event,) = made(web)
    assert answer.status_code == 202
    assert answer.json()["results"] == [
        {"line": 1, "status": "accepted", "event_id": event.event_id, "revision": 1}
    ]
    assert (event.frame_id, event.detector_id) == ("v1:cam:7", "signs@4.2")
    (found,) = event.detections
    assert (found.category, found.bbox, found.track_id) == ("sign", (10, 20, 30, 40), "957")


async def test_without_a_template_the_image_is_named_within_the_vehicles_namespace(
    web: Web,
) -> None:
    await web.post(QUERY, MESSAGE)
    assert [event.frame_id for event in made(web)] == ["v1:cam_7"]


async def test_the_same_body_again_is_the_same_event(web: Web) -> None:
    first, second = [(await web.post(QUERY, MESSAGE)).json() for _ in range(2)]
    assert first == second


def object_line(track: int) -> bytes:
    box = {"topleftx": 10, "toplefty": 20, "bottomrightx": 40, "bottomrighty": 60}
    message = {
        "@timestamp": "t0",
        "sensor": {"id": "cam"},
        "object": {"id": str(track), "bbox": box, "sign": {"confidence": 0.5}},
    }
    return json.dumps(message).encode()


async def test_messages_of_objects_are_gathered_by_frame(web: Web) -> None:
    body = b"\n".join(map(object_line, range(3)))
    answer = await web.post(OBJECTS, body, media_type=NDJSON)
    assert answer.status_code == 202
    (event,) = made(web)
    assert event.complete
    assert [found.track_id for found in event.detections] == ["0", "1", "2"]


async def test_a_broken_message_of_an_object_leaves_the_other_frames_incomplete(web: Web) -> None:
    body = b"\n".join([object_line(0), object_line(1)[:40]])
    answer = await web.post(OBJECTS, body, media_type=NDJSON)
    assert (answer.status_code, answer.json()["reasons"]) == (207, {"invalid_json": 1})
    (event,) = made(web)
    assert not event.complete


async def test_a_broken_message_of_a_frame_is_refused_and_hides_nothing_of_others(web: Web) -> None:
    body = b"\n".join([MESSAGE_LINE, MESSAGE_LINE[:40]])
    answer = await web.post(QUERY, body, media_type=NDJSON)
    assert (answer.status_code, answer.json()["reasons"]) == (207, {"invalid_json": 1})
    _, refused = answer.json()["results"]
    assert (refused["line"], refused["status"], refused["reason"]) == (2, "refused", "invalid_json")
    assert "the body:2" in refused["detail"]
    (event,) = made(web)
    assert event.complete


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ("junk", "malformed_record"),
        (7, "malformed_record"),
        (NO_IMAGE, "malformed_record"),
        (NO_IMAGE | {"image_id": 9}, "unknown_image"),
    ],
)
async def test_a_result_of_no_listed_image_is_refused_and_leaves_the_others_incomplete(
    web: Web, lost: object, reason: str
) -> None:
    counted = refused_by_http(reason)
    answer = await web.post(COCO, COCO_LISTS | {"annotations": [RESULT, lost]})
    assert (answer.status_code, answer.json()["reasons"]) == (207, {reason: 1})
    assert refused_by_http(reason) == counted + 1
    (event,) = made(web)
    assert len(event.detections) == 1
    assert not event.complete


async def test_refused_parts_are_counted_and_limited_like_lines(web: Web) -> None:
    body = COCO_LISTS | {"annotations": [RESULT, *[0] * 600]}
    answer = (await web.post(COCO, body)).json()
    assert (answer["accepted"], answer["refused"]) == (1, 600)
    assert len(answer["results"]) == 1 + LISTED_REFUSALS
    limited = Web(rate_limit="10/minute")
    headers = await limited.headers()
    answers = [await limited.client.post(COCO, json=body, headers=headers) for _ in range(2)]
    assert [limited_answer.status_code for limited_answer in answers] == [207, 429]


async def test_a_refused_detection_is_counted_and_leaves_the_frame_incomplete(web: Web) -> None:
    objects = [*MESSAGE["objects"], "7|1|2|3|4|sign|#|high"]
    answer = await web.post(QUERY, MESSAGE | {"objects": objects})
    assert answer.json()["results"][0]["detections_refused"] == 1
    (event,) = made(web)
    assert not event.complete


async def test_of_several_images_the_wrong_ones_are_refused(web: Web) -> None:
    messages = [MESSAGE, MESSAGE | {"sensorId": "x"}, MESSAGE | {"id": "8", "objects": ["broken"]}]
    counted = refused_by_http("malformed_record")
    answer = await web.post(f"{QUERY}&frame_id=v1:{{id}}", messages)
    assert answer.status_code == 207
    assert refused_by_http("malformed_record") == counted + 1
    results = answer.json()["results"]
    assert [result.get("reason") for result in results] == [
        None,
        "duplicate_id",
        "malformed_record",
    ]


async def test_a_frame_of_another_vehicle_is_refused(web: Web) -> None:
    answer = await web.post(f"{QUERY}&frame_id=v2:{{id}}", MESSAGE)
    assert answer.json()["reasons"] == {"foreign_frame": 1}
    assert not made(web)


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ("format=yolo-txt&detector=signs@4.2", MESSAGE, (422, "unsupported_format")),
        ("format=deepstream", MESSAGE, (422, "invalid_detector")),
        ("format=deepstream&detector=signs@4.2&frame_id={", MESSAGE, (422, "invalid_template")),
        ("format=deepstream&detector=signs@4.2", b"{", (400, "invalid_json")),
        ("format=deepstream&detector=signs@4.2", [], (422, "malformed_record")),
        ("format=coco&detector=signs@4.2", [], (422, "no_image")),
        ("format=mmdetection&detector=signs@4.2", {}, (422, "unknown_category")),
        ("format=coco&detector=signs@4.2", [0] * 400_000, (413, "too_many_values")),
    ],
)
async def test_a_wrong_request_is_refused_with_its_reason(
    web: Web, query: str, body: Any, expected: tuple[int, str]
) -> None:
    assert refusal(await web.post(f"/v1/predictions?{query}", body)) == expected
    assert not made(web)


async def test_it_is_for_vehicles(web: Web) -> None:
    assert refusal(await web.post(QUERY, MESSAGE, "annotation:ana")) == (403, "wrong_scope")


async def test_the_document_describes_the_query(web: Web) -> None:
    document = (await web.client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/predictions"]["post"]
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "format",
        "detector",
        "frame_id",
    ]
