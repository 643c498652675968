"""Operators erase by HTTP, and nobody brings an erased frame back."""

import httpx
import pytest

from services.contracts.identity import FrameId
from services.domain.ports.erasure import ErasureRequest
from tests import samples
from tests.unit.ingest.web import GROUND_TRUTH, METADATA, PREDICTIONS, Web

REQUEST = ErasureRequest("ada", "request 17", samples.CAPTURED_AT)
FRAME = FrameId(str(METADATA["frame_id"]))


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


async def test_an_operator_erases_frames_a_drive_or_a_vehicle() -> None:
    web = Web()
    body = {"drive_id": "v1:d1", "reason": "request 17", "dry_run": True}
    answer = await web.post("/v1/erasures", body, scope="operator:ada")
    nothing: dict[str, object] = {"unknown": [], "awaited": {}, "copies": []}
    assert answer.json() == {"frames": 1, "counts": {"frames": 1}} | nothing
    ((wanted, operator),) = web.erased
    assert (wanted.drive_id, wanted.dry_run, operator) == ("v1:d1", True, "ada")


@pytest.mark.parametrize("scope", ["vehicle:v1", "annotation:ana"])
async def test_nobody_else_erases(scope: str) -> None:
    web = Web()
    answer = await web.post("/v1/erasures", {"frame_ids": ["f"]}, scope=scope)
    assert refusal(answer) == (403, "wrong_scope")
    assert web.erased == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "nothing_named"),
        ({"reason": "r"}, "nothing_named"),
        ({"frame": "f"}, "malformed_record"),
    ],
)
async def test_a_request_that_names_nothing_is_refused(body: object, reason: str) -> None:
    web = Web()
    assert refusal(await web.post("/v1/erasures", body, scope="operator:ada")) == (422, reason)
    assert web.erased == []


async def test_an_operator_publishes_nothing() -> None:
    web = Web()
    for path, body in (("/v1/predictions", PREDICTIONS), ("/v1/ground-truth", GROUND_TRUTH)):
        assert refusal(await web.post(path, body, scope="operator:ada")) == (403, "wrong_scope")
    assert refusal(await web.post_frame(scope="operator:ada")) == (403, "wrong_scope")


async def test_nothing_about_an_erased_frame_is_taken_or_stored() -> None:
    web = Web()
    await web.tombstones.add([FRAME], REQUEST)
    answers = [
        await web.post_frame(),
        await web.post("/v1/predictions", PREDICTIONS),
        await web.post("/v1/ground-truth", GROUND_TRUTH, scope="annotation:ana"),
    ]
    assert [refusal(answer) for answer in answers] == [(410, "erased_frame")] * 3
    assert web.published == []
    assert web.blobs.contents == {}
    assert await web.ledger.first([f"frame {FRAME}", f"owner {FRAME}"]) == {}
