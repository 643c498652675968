import json
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from services.contracts.errors import (
    BrokerUnavailable,
    DeliveryUnconfirmed,
    InvalidRecord,
    InvalidSettings,
    StoreUnavailable,
)
from services.contracts.events import (
    Detection,
    FrameAnnotated,
    FrameCaptured,
    FrameVector,
    PredictionsMade,
)
from services.domain.ports.blob_uris import place_of
from services.runtime.http.tokens import issue
from tests import samples
from tests.unit.ingest.datasets import Json, jpeg
from tests.unit.ingest.pictures import BERLIN, GPS, picture
from tests.unit.ingest.web import BOX, FRAME, GROUND_TRUTH, METADATA, PREDICTIONS, Web

NDJSON = "application/x-ndjson"
SCORE = {"score": 0.5}


@pytest.fixture
def web() -> Web:
    return Web()


def refusal(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body.keys() == {"reason", "detail"}
    return response.status_code, body["reason"]


def lines(*records: object) -> bytes:
    texts = [
        record if isinstance(record, bytes) else json.dumps(record).encode() for record in records
    ]
    return b"\n".join(texts)


async def test_a_frame_is_stored_and_published_before_it_is_accepted(web: Web) -> None:
    metadata = METADATA | {"drive_id": "v1:d1", "position": {"lat": 52.5, "lon": 13.4}}

    response = await web.post_frame(metadata)

    (event,) = web.published
    assert isinstance(event, FrameCaptured)
    assert response.status_code == 202
    assert response.json() == {"frame_id": FRAME, "event_id": event.event_id, "revision": 1}
    assert (event.vehicle_id, event.drive_id) == ("v1", "v1:d1")
    assert web.blobs.get(event.image.uri) == jpeg()


async def test_a_frame_has_the_tags_and_the_vector_of_its_metadata(web: Web) -> None:
    vector = {"model": "fleet-vit", "values": "AACAPw=="}
    response = await web.post_frame(METADATA | {"tags": {"weather": "rain"}, "vector": vector})
    assert response.status_code == 202
    (event,) = web.published
    assert isinstance(event, FrameCaptured)
    assert event.tags == {"weather": "rain"}
    assert event.vector == FrameVector.model_validate(vector)

    hidden = METADATA | {"frame_id": f"{FRAME}-2", "tags": {"weather": "ra\u202ein"}}
    assert refusal(await web.post_frame(hidden)) == (422, "hidden_character")


async def test_an_image_names_the_position_that_its_metadata_leaves_out(web: Web) -> None:
    image = picture({GPS: BERLIN})

    await web.post_frame(image=image)

    (event,) = web.published
    assert isinstance(event, FrameCaptured)
    assert event.captured_at == datetime.fromisoformat(METADATA["captured_at"])
    assert event.position is not None
    assert event.position.lat == pytest.approx(52.5164)


async def test_metadata_may_be_a_file_part(web: Web) -> None:
    parts: dict[str, tuple[str, bytes, str]] = {
        "image": ("a.jpg", jpeg(), "image/jpeg"),
        "metadata": ("m.json", json.dumps(METADATA).encode(), "application/json"),
    }

    response = await web.client.post("/v1/frames", files=parts, headers=await web.headers())

    assert response.status_code == 202


async def test_predictions_and_ground_truth_are_published(web: Web) -> None:
    predicted = await web.post("/v1/predictions", PREDICTIONS)
    annotated = await web.post("/v1/ground-truth", GROUND_TRUTH, "annotation:ana")

    first, second = web.published
    assert isinstance(first, PredictionsMade)
    assert isinstance(second, FrameAnnotated)
    assert [predicted.status_code, annotated.status_code] == [202, 202]
    assert second.annotation_source == "reannotation"


async def test_a_client_may_say_that_something_is_missing(web: Web) -> None:
    part = {"complete": False}
    await web.post("/v1/predictions", PREDICTIONS | part)
    await web.post("/v1/ground-truth", GROUND_TRUTH | part, "annotation")
    whole = await web.post("/v1/ground-truth", GROUND_TRUTH, "annotation")
    wrong = await web.post("/v1/predictions", PREDICTIONS | {"complete": "no"})

    assert [event.complete for event in web.published] == [False, False, True]  # type: ignore[attr-defined]
    assert whole.json()["revision"] == 2
    assert refusal(wrong) == (422, "malformed_record")
    schemas = (await web.client.get("/openapi.json")).json()["components"]["schemas"]
    for name in ("Predictions", "GroundTruth"):
        assert schemas[name]["properties"]["complete"]["default"] is True


async def test_a_repeated_request_is_the_same_event(web: Web) -> None:
    first, second = [await web.post("/v1/predictions", PREDICTIONS) for _ in range(2)]

    assert first.json() == second.json()


async def test_a_correction_is_the_next_revision(web: Web) -> None:
    await web.post("/v1/ground-truth", GROUND_TRUTH, "annotation:ana")
    response = await web.post(
        "/v1/ground-truth", GROUND_TRUTH | {"annotations": []}, "annotation:ana"
    )

    assert response.json()["revision"] == 2


@pytest.mark.parametrize("source", ["reannotation", "import"])
async def test_a_correction_that_is_taken_back_is_the_next_revision_again(
    web: Web, source: str
) -> None:
    something = GROUND_TRUTH | {"annotation_source": source}
    nothing = something | {"annotations": []}
    posted = [something, something, nothing, something, something, nothing]

    answers = [
        await web.post("/v1/ground-truth", document, "annotation:ana") for document in posted
    ]

    assert [answer.json()["revision"] for answer in answers] == [1, 1, 2, 3, 3, 4]
    together = await web.post(
        "/v1/ground-truth", lines(something, nothing, something), "annotation:ana", NDJSON
    )
    assert [item["revision"] for item in together.json()["results"]] == [5, 6, 7]


async def test_many_lines_have_a_result_each(web: Web) -> None:
    body = lines(
        PREDICTIONS,
        b"",
        b"{",
        PREDICTIONS | {"frame_id": "v1:2"},
        PREDICTIONS | {"detections": [BOX | {"score": 2}]},
        b"\xff",
    )

    response = await web.post("/v1/predictions", body, media_type=NDJSON)

    answer = response.json()
    assert response.status_code == 207
    assert (answer["accepted"], answer["refused"]) == (2, 3)
    assert [(item["line"], item["status"]) for item in answer["results"]] == [
        (1, "accepted"),
        (3, "refused"),
        (4, "accepted"),
        (5, "refused"),
        (6, "refused"),
    ]
    assert answer["results"][0]["event_id"] == web.published[0].event_id
    assert answer["results"][1]["reason"] == "invalid_json"
    assert answer["results"][3]["reason"] == "malformed_record"


async def test_scores_that_rounding_moved_above_one_are_one_and_counted(web: Web) -> None:
    def scored(*scores: float) -> dict[str, object]:
        return PREDICTIONS | {"detections": [BOX | {"score": score} for score in scores]}

    response = await web.post("/v1/predictions", scored(1.0000001, 0.5, 1.000001))
    body = lines(scored(1.0000001, 1) | {"version": "2"}, scored(1) | {"version": "3"})
    many = await web.post("/v1/predictions", body, media_type=NDJSON)
    above = await web.post("/v1/predictions", scored(1.00001))

    assert (response.status_code, response.json()["scores_clipped"]) == (202, 2)
    assert [line.get("scores_clipped") for line in many.json()["results"]] == [1, None]
    assert refusal(above) == (422, "malformed_record")
    first = web.published[0]
    assert isinstance(first, PredictionsMade)
    assert [type(detection) for detection in first.detections] == [Detection] * 3
    assert [detection.score for detection in first.detections] == [1, 0.5, 1]


async def test_boxes_in_fractions_of_the_image_are_refused(web: Web) -> None:
    fractions = {"bbox": [0.2, 0.3, 0.1, 0.4]}
    predicted = PREDICTIONS | {"detections": [PREDICTIONS["detections"][0] | fractions]}
    annotated = GROUND_TRUTH | {"annotations": [BOX | fractions]}

    one = await web.post("/v1/predictions", predicted)
    many = await web.post("/v1/ground-truth", lines(annotated), "annotation:ana", NDJSON)

    assert refusal(one) == (422, "box_in_fractions")
    assert many.json()["reasons"] == {"box_in_fractions": 1}


async def test_lines_that_are_all_good_are_accepted(web: Web) -> None:
    body = lines(GROUND_TRUTH, GROUND_TRUTH | {"frame_id": "v1:2"})

    response = await web.post("/v1/ground-truth", body, "annotation:ana", NDJSON)

    assert response.status_code == 202
    assert response.json()["accepted"] == len(web.published) == 2


async def test_without_a_valid_token_nothing_is_read(web: Web) -> None:
    token = await web.token("vehicle:v1")
    revoked = await web.token("vehicle:v1")
    await web.tokens.revoke(revoked[3:19], web.clock.now())
    other = token[:20] + "x" * 43
    wrong = ["", "Bearer", "Bearer nonsense", "Basic abc", f"Bearer {revoked}", f"Bearer {other}"]

    answers = [
        await web.client.post("/v1/predictions", json=PREDICTIONS, headers={"Authorization": name})
        for name in wrong
    ]

    assert {refusal(answer) for answer in answers} == {(401, "unauthorized")}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert web.published == []


async def test_tokens_are_kept_as_hashes_only(web: Web) -> None:
    token = await web.token("vehicle:v1")

    (record,) = await web.tokens.list()

    assert token.partition(".")[2] not in repr(record)


async def test_a_token_does_what_its_scope_says_and_no_more(web: Web) -> None:
    assert refusal(await web.post("/v1/ground-truth", GROUND_TRUTH)) == (403, "wrong_scope")
    assert refusal(await web.post("/v1/predictions", PREDICTIONS, "annotation:ana")) == (
        403,
        "wrong_scope",
    )
    assert refusal(await web.post_frame(scope="annotation:ana")) == (403, "wrong_scope")
    foreign = METADATA | {"vehicle_id": "v2"}
    assert refusal(await web.post_frame(foreign)) == (403, "foreign_vehicle")


async def test_a_vehicle_cannot_speak_of_anothers_frame(web: Web) -> None:
    frame = await web.post_frame(scope="vehicle:v2")
    predictions = await web.post("/v1/predictions", PREDICTIONS, "vehicle:v2")
    many = await web.post("/v1/predictions", lines(PREDICTIONS), "vehicle:v2", NDJSON)

    assert refusal(frame) == refusal(predictions) == (403, "foreign_frame")
    assert many.json()["results"][0]["reason"] == "foreign_frame"
    assert web.published == []
    assert "begin with `v2:` or `v2/`" in frame.json()["detail"]
    assert (await web.post_frame()).status_code == 202


async def test_a_vehicle_cannot_speak_of_anothers_drive(web: Web) -> None:
    foreign = await web.post_frame(METADATA | {"drive_id": "v2:monday"})

    assert refusal(foreign) == (403, "foreign_drive")
    assert web.published == []
    assert (await web.post_frame(METADATA | {"drive_id": "v1/monday"})).status_code == 202


async def test_a_token_may_name_another_prefix_than_the_vehicles_id(web: Web) -> None:
    token, record = issue("vehicle:vehicle-7", web.clock.now(), prefix="7")
    await web.tokens.add(record)
    headers = {"Authorization": f"Bearer {token}"}

    own, other = [
        await web.client.post(
            "/v1/predictions", json=PREDICTIONS | {"frame_id": name}, headers=headers
        )
        for name in ("7:1", "vehicle-7:1")
    ]

    assert (own.status_code, refusal(other)) == (202, (403, "foreign_frame"))


async def test_what_a_vehicle_published_before_namespaces_were_kept_stays_its_own(web: Web) -> None:
    old = METADATA | {"frame_id": "old", "drive_id": "monday"}
    await web.publish_before_namespaces(old, "v1")

    again = await web.post_frame(old)
    predicted = await web.post("/v1/predictions", PREDICTIONS | {"frame_id": "old"})
    other = await web.post("/v1/predictions", PREDICTIONS | {"frame_id": "old"}, "vehicle:v2")
    new = await web.post_frame(METADATA | {"frame_id": "older"})

    assert [again.status_code, predicted.status_code] == [202, 202]
    assert refusal(other) == refusal(new) == (403, "foreign_frame")


async def test_a_frame_that_another_vehicle_named_first_is_still_that_ones(web: Web) -> None:
    await web.publish_before_namespaces(METADATA, "v2")

    assert refusal(await web.post_frame()) == (403, "foreign_frame")


async def test_annotators_sign_with_the_name_of_their_token(web: Web) -> None:
    for record in (GROUND_TRUTH, GROUND_TRUTH | {"annotated_by": "ana"}):
        assert (await web.post("/v1/ground-truth", record, "annotation:ana")).status_code == 202

    in_bens_name = GROUND_TRUTH | {"annotated_by": "ben"}
    refused = await web.post("/v1/ground-truth", in_bens_name, "annotation:ana")
    many = await web.post("/v1/ground-truth", lines(in_bens_name), "annotation:ana", NDJSON)

    assert refusal(refused) == (403, "foreign_annotator")
    assert many.json()["results"][0]["reason"] == "foreign_annotator"
    assert {event.annotated_by for event in web.annotated} == {"ana"}


async def test_a_token_from_before_accounts_signs_with_its_public_id(web: Web) -> None:
    token, record = issue("annotation", web.clock.now())
    await web.tokens.add(record)

    headers = {"Authorization": f"Bearer {token}"}
    await web.client.post("/v1/ground-truth", json=GROUND_TRUTH, headers=headers)

    assert [event.annotated_by for event in web.annotated] == [f"annotation-{record.token_id[:8]}"]


async def test_the_source_of_an_annotation_is_one_of_two(web: Web) -> None:
    imported = await web.post(
        "/v1/ground-truth", GROUND_TRUTH | {"annotation_source": "import"}, "annotation:ana"
    )
    other = await web.post(
        "/v1/ground-truth", GROUND_TRUTH | {"annotation_source": "tool"}, "annotation:ana"
    )

    assert imported.status_code == 202
    assert refusal(other) == (422, "malformed_record")
    assert "'import' or 'reannotation'" in other.json()["detail"]


async def test_predictions_may_come_before_their_frame(web: Web) -> None:
    await web.post("/v1/predictions", PREDICTIONS)

    assert (await web.post_frame()).status_code == 202


async def test_another_picture_under_a_known_id_is_a_conflict(web: Web) -> None:
    await web.post_frame()

    assert refusal(await web.post_frame(image=jpeg(1))) == (409, "duplicate_id")
    late = METADATA | {"captured_at": "2026-05-04T11:00:00Z"}
    assert refusal(await web.post_frame(late)) == (409, "duplicate_id")
    assert (await web.post_frame()).status_code == 202


async def test_refused_frames_leave_no_pictures(web: Web) -> None:
    await web.post_frame()
    for seed in range(1, 6):
        assert refusal(await web.post_frame(image=jpeg(seed))) == (409, "duplicate_id")
    assert list(web.blobs.contents) == [place_of(jpeg())]


@pytest.mark.parametrize(
    ("expected", "image"),
    [
        ((422, "truncated_image"), jpeg()[:-9]),
        ((415, "unsupported_format"), b"GIF89a"),
        ((415, "unsupported_format"), b""),
        ((413, "too_many_pixels"), jpeg(size=(110, 100))),
        ((413, "too_many_bytes"), jpeg() + bytes(60_000)),
    ],
)
async def test_an_image_that_cannot_be_used_is_refused(
    expected: tuple[int, str], image: bytes
) -> None:
    web = Web(max_image_pixels=10_000, max_image_bytes=50_000)

    assert refusal(await web.post_frame(image=image)) == expected
    assert web.published == []
    assert web.blobs.contents == {}


@pytest.mark.parametrize("error", [BrokerUnavailable, DeliveryUnconfirmed, StoreUnavailable])
async def test_nothing_is_accepted_while_a_part_is_away(
    web: Web, error: type[BrokerUnavailable]
) -> None:
    web.outbox.failures = [error("away at mongodb://user:secret@host") for _ in range(3)]
    responses = [
        await web.post_frame(),
        await web.post("/v1/predictions", PREDICTIONS),
        await web.post("/v1/predictions", lines(PREDICTIONS), media_type=NDJSON),
    ]

    for response in responses:
        assert refusal(response) == (503, "unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert "secret" not in response.text

    assert (await web.post_frame()).status_code == 202


async def test_too_many_requests_of_one_token_are_told_to_wait() -> None:
    web = Web(rate_limit="2/minute")
    busy, calm = await web.headers(), await web.headers()

    async def ask(headers: dict[str, str]) -> httpx.Response:
        return await web.client.post("/v1/predictions", json=PREDICTIONS, headers=headers)

    answers = [await ask(busy) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert refusal(answers[2]) == (429, "too_many_requests")
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert (await ask(calm)).status_code == 202


def test_a_rate_limit_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(InvalidSettings, match="GAZELOOP_RATE_LIMIT"):
        Web(rate_limit="often")


async def test_the_openapi_document_describes_every_body(web: Web) -> None:
    document = (await web.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    text = json.dumps(document)

    references = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= schemas.keys()
    assert {"FrameMetadata", "Predictions", "GroundTruth"} <= references
    assert "#/$defs" not in text
    for path in ("/v1/frames", "/v1/predictions", "/v1/ground-truth"):
        operation = document["paths"][path]["post"]
        assert operation["security"]
        assert {"202", "401", "413", "429", "503"} <= operation["responses"].keys()


@pytest.mark.parametrize(
    ("path", "schema", "scope"),
    [
        ("/v1/predictions", "Predictions", "vehicle:vehicle-7"),
        ("/v1/ground-truth", "GroundTruth", "annotation:ana"),
    ],
)
async def test_the_documents_examples_are_accepted(
    web: Web, path: str, schema: str, scope: str
) -> None:
    document = (await web.client.get("/openapi.json")).json()
    example: Json = document["components"]["schemas"][schema]["examples"][0]
    metadata: Json = document["components"]["schemas"]["FrameMetadata"]["examples"][0]

    assert (await web.post(path, example, scope)).status_code == 202
    assert (await web.post_frame(metadata, scope="vehicle:vehicle-7")).status_code == 202


async def test_health_and_unknown_paths_are_answered_in_our_form(web: Web) -> None:
    assert (await web.client.get("/healthz")).json() == {"status": "ok"}
    assert refusal(await web.client.get("/v1/nothing")) == (404, "not_found")
    assert refusal(await web.client.get("/v1/frames")) == (405, "method_not_allowed")


async def test_an_error_of_ours_says_nothing_of_our_insides(web: Web) -> None:
    broken: Any = web.outbox
    broken.publish = None

    response = await web.post("/v1/predictions", PREDICTIONS)

    assert refusal(response) == (500, "internal_error")
    assert "NoneType" not in response.text


async def test_a_client_that_hangs_up_leaves_nothing(web: Web) -> None:
    headers = [
        (name.lower().encode(), text.encode()) for name, text in (await web.headers()).items()
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/predictions",
        "raw_path": b"/v1/predictions",
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await web.app(scope, receive, send)

    assert sent[0]["status"] == 400
    assert web.published == []


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "vehicle:",
        "vehicle:a b",
        "admin",
        "annotation ",
        "annotation:",
        "annotation: ada",
        "annotation:a\u202eb",
        "vehicle:a\u200b",
    ],
)
def test_a_scope_that_is_none_is_refused_and_the_known_ones_are_named(scope: str) -> None:
    with pytest.raises(InvalidRecord, match=r"known scopes: vehicle:ID .*, annotation:NAME"):
        issue(scope, datetime(2026, 5, 4, tzinfo=UTC))


async def test_parts_that_are_missing_are_named(web: Web) -> None:
    headers = await web.headers()
    image = {"image": ("a.jpg", jpeg(), "image/jpeg")}

    without_metadata = await web.client.post("/v1/frames", files=image, headers=headers)
    text = await web.post("/v1/ground-truth", b"x", "annotation:ana", "text/plain")

    assert refusal(without_metadata) == (400, "missing_part")
    assert refusal(text) == (415, "unsupported_media_type")


async def store_frame(web: Web, width: int, height: int) -> None:
    captured = samples.frame_captured(FRAME)
    image = captured.image.model_copy(update={"width": width, "height": height})
    await web.frames.record([captured.model_copy(update={"image": image})])


async def test_ground_truth_that_cannot_be_of_its_picture_is_refused_by_name(web: Web) -> None:
    await store_frame(web, 64, 48)
    outside = GROUND_TRUTH | {"annotations": [BOX, BOX | {"bbox": [64, 2, 3, 4]}]}
    of_no_known_picture = outside | {"frame_id": "v1:later"}

    one = await web.post("/v1/ground-truth", outside, "annotation:ana")
    body = lines(outside, GROUND_TRUTH, of_no_known_picture)
    many = await web.post("/v1/ground-truth", body, "annotation:ana", NDJSON)

    assert refusal(one) == (422, "box_outside_image")
    assert "64 x 48" in one.json()["detail"]
    assert many.status_code == 207
    statuses = [item["status"] for item in many.json()["results"]]
    assert statuses == ["refused", "accepted", "accepted"]


async def test_predictions_that_cannot_be_of_their_picture_are_refused_by_name(web: Web) -> None:
    await store_frame(web, 64, 48)

    def of(*bbox: float) -> Json:
        return PREDICTIONS | {"detections": [BOX | SCORE, BOX | SCORE | {"bbox": bbox}]}

    far, outside = of(900_000, 900_000, 3, 4), of(64, 2, 3, 4)
    one = await web.post("/v1/predictions", far)
    body = lines(far, outside, far | {"frame_id": "v1:later"})
    many = await web.post("/v1/predictions", body, media_type=NDJSON)

    assert refusal(one) == (422, "box_far_outside")
    assert "64 x 48" in one.json()["detail"]
    assert (many.status_code, many.json()["reasons"]) == (207, {"box_far_outside": 1})
    statuses = [item["status"] for item in many.json()["results"]]
    assert statuses == ["refused", "accepted", "accepted"]
    assert [event.frame_id for event in web.published] == [FRAME, "v1:later"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("height", "status"), [(48, 202), (96, 422)])
async def test_a_mask_of_another_size_than_its_picture_is_refused_by_name(
    web: Web, height: int, status: int
) -> None:
    await store_frame(web, 64, 48)
    drawn = coco_mask.encode(np.ones((height, 64), dtype=np.uint8, order="F"))
    mask = {"size": drawn["size"], "counts": drawn["counts"].decode()}

    truth = GROUND_TRUTH | {"annotations": [BOX | {"mask": mask}]}
    predicted = PREDICTIONS | {"iou_type": "segm", "detections": [BOX | SCORE | {"mask": mask}]}
    answers = [
        await web.post("/v1/ground-truth", truth, "annotation:ana"),
        await web.post("/v1/predictions", predicted),
    ]

    assert [answer.status_code for answer in answers] == [status, status]
    for answer in answers if status == 422 else ():
        assert answer.json()["reason"] == "size_mismatch"
        assert "for 64 x 96 pixels, the image has 64 x 48" in answer.json()["detail"]
