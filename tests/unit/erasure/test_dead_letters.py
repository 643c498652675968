import asyncio
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.app.erasure.dead_letters import DeadLetterTraces, mention_of
from services.contracts.codec import encode
from services.contracts.dead_letters import DeadLetterChanged, DeadLettered, LetterChange
from services.contracts.identity import FrameId
from services.domain.dead_letters import fold_letters
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox

IDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=30
)


class Outbox(InMemoryOutbox):
    async def publish_records(self, records: object) -> None:
        raise NotImplementedError


def _dead(frame_id: str) -> DeadLettered:
    event = samples.frame_captured(frame_id)
    return DeadLettered(
        service="embedder",
        reason="missing_image",
        detail="no such image",
        original_topic="gaze.frames",
        partition=0,
        offset=1,
        original_key=event.key().encode(),
        original_value=encode(event),
        failed_at=samples.CAPTURED_AT,
    )


async def test_the_dead_letters_of_a_frame_are_in_no_list_any_more() -> None:
    gone, kept = _dead("drive/1"), _dead("drive/12")
    outbox = Outbox()
    traces = DeadLetterTraces(lambda: fold_letters([gone, kept]), outbox, FakeClock())
    assert await traces.count([FrameId("drive/1")]) == 1
    await traces.erase([FrameId("drive/1")])
    changes = [event for event in outbox.published if isinstance(event, DeadLetterChanged)]
    assert [change.change for change in changes] == [LetterChange.ERASED]
    assert [item.letter_id for item in fold_letters([gone, kept, *changes])] == [kept.letter_id]
    assert fold_letters([gone, *changes, gone]) == []


@pytest.mark.parametrize("other", ["drive/12", "a-drive/1", "drive/1.jpg", "drive", "xdrive/1"])
def test_an_id_is_no_mention_of_a_longer_or_shorter_one(other: str) -> None:
    assert not mention_of([FrameId("drive/1")]).search(f'{{"frame_id":"{other}"}}'.encode())


@pytest.mark.parametrize(
    ("frame_id", "other"),
    [
        ("cam", "cam+1"),
        ("cam", "cam."),
        ("cam", "camé"),
        ("é", "éé"),
        ("a:1", "a:1:2"),
        ("a", "a=b"),
    ],
)
def test_ids_may_have_odd_characters(frame_id: str, other: str) -> None:
    mention = mention_of([FrameId(frame_id)])
    assert not mention.search(f'{{"frame_id":"{other}"}}'.encode())
    assert not mention.search(json.dumps({"frame_id": other}).encode())
    assert mention.search(json.dumps({"frame_id": frame_id}).encode())
    assert mention.search(orjson.dumps({"frame_id": frame_id}))


@pytest.mark.parametrize(
    "text", ["drive/1: too large", "of drive/1.", "(drive/1)", "'drive/1', drive/2"]
)
def test_an_id_is_found_in_a_sentence(text: str) -> None:
    assert mention_of([FrameId("drive/1")]).search(text.encode())


@given(IDS)
def test_every_id_is_found_in_its_events(frame_id: str) -> None:
    asyncio.run(_check(frame_id))


async def _check(frame_id: str) -> None:
    letters = fold_letters([_dead(frame_id)])
    traces = DeadLetterTraces(lambda: letters, Outbox(), FakeClock())
    assert await traces.count([FrameId(frame_id)]) == 1
