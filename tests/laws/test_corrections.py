import pytest

from services.annotation.ports.corrections import Correction, CorrectionStore, Outcome
from services.annotation.stores.corrections_mongo import MongoCorrectionStore
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.runtime.stores.mongo import Database
from tests.samples import annotation, frame_annotated


@pytest.fixture
def corrections(empty_database: Database) -> CorrectionStore:
    return MongoCorrectionStore(empty_database)


def correction(name: str = "a", frame_id: str = "f1", revision: int = 2) -> Correction:
    event = frame_annotated(annotation(), frame_id=frame_id, revision=revision)
    return Correction(name, event, (annotation("yield"),), act_id="act-1")


async def test_a_correction_is_pending_as_it_was_kept(corrections: CorrectionStore) -> None:
    await corrections.keep(correction())
    await corrections.keep(correction())

    assert await corrections.pending() == [correction()]


async def test_keeping_again_does_not_reopen_a_settled_correction(
    corrections: CorrectionStore,
) -> None:
    await corrections.keep(correction())
    await corrections.settle(correction(), Outcome.PUBLISHED)
    await corrections.keep(correction())

    assert await corrections.pending() == []


async def test_published_ones_of_a_frame_come_by_revision(corrections: CorrectionStore) -> None:
    for name, revision in (("c", 4), ("a", 2), ("b", 3)):
        await corrections.keep(correction(name, revision=revision))
        await corrections.settle(correction(name), Outcome.PUBLISHED)
    await corrections.keep(correction("other", "f2"))
    await corrections.settle(correction("other", "f2"), Outcome.PUBLISHED)
    await corrections.keep(correction("late", revision=3))
    await corrections.settle(correction("late"), Outcome.OVERTAKEN)

    found = await corrections.published(FrameId("f1"))
    assert [one.event.revision for one in found] == [2, 3, 4]
    both = await corrections.published_of([FrameId("f1"), FrameId("f2")])
    assert [one.correction_id for one in both] in (["a", "other", "b", "c"], ["other", *"abc"])


async def test_the_latest_truth_is_the_highest_revision_stored_or_published(
    corrections: CorrectionStore,
) -> None:
    await corrections.keep(correction(revision=2))
    await corrections.settle(correction(), Outcome.PUBLISHED)
    first, second, third = (frame_annotated(revision=number) for number in (1, 2, 3))
    behind, ahead = (FrameRecord(FrameId("f1"), ground_truth=truth) for truth in (first, third))
    unknown = FrameRecord(FrameId("f9"))

    assert await corrections.latest_truth(behind) == correction().event
    assert await corrections.latest_truth(ahead) == third
    assert await corrections.latest_truth(unknown) is None
    assert await corrections.latest_truths([behind, unknown]) == {"f1": correction().event}
    assert second != correction().event


async def test_a_pending_correction_is_not_the_latest_truth(corrections: CorrectionStore) -> None:
    await corrections.keep(correction())
    record = FrameRecord(FrameId("f1"), ground_truth=frame_annotated())

    assert await corrections.latest_truth(record) == frame_annotated()
