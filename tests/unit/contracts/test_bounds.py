"""Values that nobody could compute with are refused where they come in."""

import base64
import json
import math
from array import array
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from services.contracts import codec
from services.contracts.errors import InvalidRecord, UnreadableEvent
from services.contracts.events import Event
from services.contracts.topics import topic_of
from services.formats import fields
from services.ingest.api.bodies import FrameMetadata, read_body
from tests import samples

FAR = ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"]
POSSIBLE = ["1970-01-01T00:00:00+00:00", "2100-01-01T00:00:00Z", "2026-05-04T10:00:00+14:00"]


def written(event: Event, **changed: Any) -> bytes:
    return json.dumps({**json.loads(codec.encode(event)), **changed}).encode()


def groups(**changed: Any) -> dict[str, Any]:
    """The groups of a match with one detection, on the wire, some of them changed."""
    stated = json.loads(codec.encode(samples.frame_matched()))["groups"]
    return {**stated, **changed}


def packed(*numbers: float) -> str:
    return base64.urlsafe_b64encode(array("d", numbers).tobytes()).decode()


@pytest.mark.parametrize("time", FAR)
def test_a_time_that_no_camera_can_have_shown_is_refused_by_name(time: str) -> None:
    frame = samples.frame_captured()
    with pytest.raises(UnreadableEvent, match="captured_at: a time from 1970-01-01"):
        codec.decode(topic_of(frame).name, written(frame, captured_at=time))
    body = json.dumps({"frame_id": "f", "captured_at": time})
    with pytest.raises(InvalidRecord, match="check the camera's clock") as caught:
        read_body(FrameMetadata, body)
    assert caught.value.reason == "invalid_time"
    with pytest.raises(InvalidRecord, match="from 1970-01-01 to 2100-01-01") as caught:
        fields.captured_at({"captured_at": time})
    assert caught.value.reason == "invalid_time"
    assert fields.captured_at({"date_captured": time}) is None


@pytest.mark.parametrize("time", POSSIBLE)
def test_the_first_and_last_possible_times_are_taken(time: str) -> None:
    frame = samples.frame_captured()
    assert codec.decode(topic_of(frame).name, written(frame, captured_at=time))
    assert read_body(FrameMetadata, json.dumps({"frame_id": "f", "captured_at": time}))
    assert fields.captured_at({"captured_at": time}) is not None


def test_a_time_in_another_zone_counts_by_its_moment() -> None:
    late = datetime(2100, 1, 1, 12, tzinfo=timezone(timedelta(hours=14)))
    assert fields.captured_at({"captured_at": late.isoformat()}) == late.astimezone(UTC)


@pytest.mark.parametrize(
    ("event", "changed", "where"),
    [
        (samples.frame_annotated(revision=1), {"revision": 2**63}, "revision"),
        (samples.frame_annotated(), {"revision": 2**31}, "revision"),
        (samples.frame_annotated(), {"lead_time_s": 1e300}, "lead_time_s"),
        (samples.predictions_made(), {"detector": "a\x00b"}, "detector"),
        (samples.frame_matched(), {"revisions": {"truth": 2**63}}, "revisions"),
        (samples.frame_matched(), {"groups": groups(ground_truths=[[2**63, 0, 0, 0]])}, "truths"),
        (samples.frame_matched(), {"groups": groups(scores=packed(1e300))}, "score"),
        (samples.frame_matched(), {"groups": groups(scores=packed(math.nan))}, "score"),
        (samples.frame_matched(), {"groups": groups(overlaps=packed(-1.0))}, "overlap"),
        (samples.frame_matched(), {"groups": groups(bboxes=packed(0, 0, 1e300, 1))}, "box"),
        (samples.frame_matched(), {"groups": groups(bboxes=packed(0, 0, 1, -1))}, "box"),
        (samples.frame_matched(), {"groups": groups(errors="Bg==")}, "error"),
        (samples.frame_matched(), {"groups": groups(scores="")}, "length"),
        (samples.frame_matched(), {"vehicle_id": "v" * 201}, "vehicle_id"),
        (samples.frame_embedded(samples.predictions_made()), {"model": ""}, "model"),
    ],
)
def test_a_value_beyond_its_bound_is_unreadable(
    event: Event, changed: dict[str, Any], where: str
) -> None:
    with pytest.raises(UnreadableEvent, match=where):
        codec.decode(topic_of(event).name, written(event, **changed))


@pytest.mark.parametrize("box", [[0, 0, 1e-7, 1], [0, 0, 1, 1e-300]])
def test_a_side_whose_product_may_vanish_is_no_side(box: list[float]) -> None:
    with pytest.raises(InvalidRecord, match="no area"):
        fields.box(box)
