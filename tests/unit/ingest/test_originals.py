"""Original images are given to tokens of their own scope alone, and every one is recorded."""

import httpx
import pytest

from services.contracts.identity import FrameId, frame_hash
from services.domain.ports.audit import AuditAct
from services.domain.ports.erasure import ErasureRequest
from tests import samples
from tests.unit.ingest.datasets import jpeg
from tests.unit.ingest.web import Web

FRAME = FrameId("v1/drive-1/7")


async def _web() -> Web:
    web = Web()
    frame = samples.frame_captured(FRAME)
    image = frame.image.model_copy(update={"uri": web.blobs.put(jpeg())})
    await web.frames.record([frame.model_copy(update={"image": image})])
    return web


async def _get(web: Web, scope: str, frame_id: str = FRAME) -> httpx.Response:
    headers = await web.headers(scope)
    return await web.client.get("/v1/originals", params={"frame_id": frame_id}, headers=headers)


async def test_who_may_see_originals_gets_the_bytes_that_were_captured() -> None:
    web = await _web()
    answer = await _get(web, "originals:grace")
    assert (answer.status_code, answer.content) == (200, jpeg())
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    (record,) = web.audit.records
    assert (record.act, record.by) == (AuditAct.ORIGINAL_SHOWN, "grace")
    assert record.on == f"frame {frame_hash(FRAME)}"


@pytest.mark.parametrize("scope", ["vehicle:v1", "annotation:ada", "operator:ada"])
async def test_nobody_else_does(scope: str) -> None:
    web = await _web()
    answer = await _get(web, scope)
    assert (answer.status_code, answer.json()["reason"]) == (403, "wrong_scope")
    assert web.audit.records == []


async def test_a_frame_that_is_not_there_and_one_that_is_erased_are_refused() -> None:
    web = await _web()
    assert (await _get(web, "originals:grace", "v1/8")).status_code == 404
    await web.tombstones.add([FRAME], ErasureRequest("ada", "request 17", samples.CAPTURED_AT))
    answer = await _get(web, "originals:grace")
    assert (answer.status_code, answer.json()["reason"]) == (410, "erased_frame")
    assert web.audit.records == []


async def test_a_viewer_publishes_nothing() -> None:
    web = Web()
    assert (await web.post_frame(scope="originals:grace")).status_code == 403
    truth = {"frame_id": FRAME, "annotations": []}
    assert (await web.post("/v1/ground-truth", truth, scope="originals:grace")).status_code == 403
