"""Ledger entries: which contents share a revision, and which get one of their own."""

import pytest

from services.contracts.codec import encode
from services.ground_truth import drafts
from services.ground_truth.drafts import (
    entry_of,
    frame_subject,
    is_too_large,
    next_entry,
    owner_entry,
    tagged,
    tags_of,
)
from tests.fakes.ledger import InMemoryLedger
from tests.samples import annotation, detection, frame_annotated, frame_captured, predictions_made

TRUTH, EMPTY = frame_annotated(annotation()), frame_annotated()


def test_detector_versions_and_ground_truth_of_a_frame_have_revisions_of_their_own() -> None:
    facts = (frame_captured(), predictions_made(), predictions_made(version="2"), TRUTH)
    subjects = {entry_of(fact).subject for fact in facts}

    assert len(subjects) == len(facts)
    assert entry_of(frame_captured()).subject == frame_subject(frame_captured().frame_id)
    assert entry_of(predictions_made(detection())).subject == entry_of(predictions_made()).subject
    assert entry_of(frame_captured("f2")).subject not in subjects


def test_a_vehicles_claim_is_no_content_of_the_frame() -> None:
    frame = frame_captured()
    claim = owner_entry(frame.frame_id, frame.vehicle_id)

    assert claim.subject != entry_of(frame).subject
    assert claim.digest == frame.vehicle_id


def test_a_tag_makes_an_entry_of_its_own_in_the_same_subject() -> None:
    plain, first, second = (tagged(entry_of(TRUTH), tag) for tag in ("", "http 1", "http 2"))

    assert plain == entry_of(TRUTH)
    assert len({plain.digest, first.digest, second.digest}) == 3
    assert plain.subject == first.subject == second.subject


def test_a_change_is_identified_by_content_revision_and_tag() -> None:
    entries = [
        next_entry(TRUTH, after=1),
        next_entry(TRUTH, after=2),
        next_entry(EMPTY, after=1),
        next_entry(TRUTH, after=1, tag="task 1"),
        next_entry(TRUTH, after=2, tag="task 1"),
        next_entry(TRUTH, after=1, tag="task 2"),
    ]

    assert len(set(entries)) == len(entries)
    assert next_entry(TRUTH, after=1, tag="task 1") == entries[3]


async def test_every_return_to_an_earlier_content_has_a_tag_of_its_own() -> None:
    ledger = InMemoryLedger()
    back_and_forth = [entry_of(TRUTH), entry_of(EMPTY)] * 3

    tags = await tags_of("http", [*back_and_forth, entry_of(EMPTY)], ledger)

    assert tags == ["", "", "http 1", "http 1", "http 2", "http 2", "http 2"]
    assert await tags_of("cvat", [entry_of(TRUTH)], ledger) == [""]


@pytest.mark.parametrize(("spare", "expected"), [(0, False), (1, False), (-1, True)])
def test_an_event_may_be_as_large_as_its_topic_allows(
    monkeypatch: pytest.MonkeyPatch, spare: int, expected: bool
) -> None:
    limit = len(encode(TRUTH)) + spare
    monkeypatch.setattr(drafts, "largest_value", lambda _: limit)

    assert is_too_large(TRUTH) is expected
