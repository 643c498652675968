import asyncio
import base64
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import (
    BrokerUnavailable,
    DeliveryUnconfirmed,
    InvalidRecord,
    StoreUnavailable,
)
from services.contracts.events import (
    Annotation,
    Detection,
    Event,
    FrameAnnotated,
    FrameCaptured,
    PredictionsMade,
)
from services.contracts.identity import Category, DetectorId, FrameId, ImportId, VehicleId
from services.domain.ports.blob_uris import place_of
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.imports import ImportItem, ImportKind, ImportRun, Part
from services.formats.adjustments import Adjustment
from services.formats.items import Detector, FrameItem, Item, Located, RecordKind, Rejection
from services.ground_truth.import_journal import ImportJournal
from services.ground_truth.publishing import Journal
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.ingest.summary import Count, Summary
from services.runtime.settings import Settings
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.imports import InMemoryImports
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.tombstones import InMemoryTombstones
from tests.samples import CAPTURED_AT
from tests.unit.ingest.datasets import jpeg
from tests.unit.ingest.parts import parts_in_memory


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


HALF_A_PNG = (
    b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0))
    + png_chunk(b"IDAT", zlib.compress(bytes(65 * 24)))
    + png_chunk(b"IEND", b"")
)
STOP = Category("stop sign")
TRUTH = Annotation(category=STOP, bbox=(1, 2, 3, 4))
FOUND = Detection(category=STOP, score=0.5, bbox=(1, 2, 3, 4))


def located(*values: Detection) -> tuple[Located[Detection], ...]:
    return tuple(Located(value, f"dt.json:[{at}]") for at, value in enumerate(values))


def true(*values: Annotation) -> tuple[Located[Annotation], ...]:
    return tuple(Located(value, f"gt.json:[{at}]") for at, value in enumerate(values))


class Ingest:
    """The stores that outlive a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = InMemoryOutbox()
        self.blobs = InMemoryBlobs()
        self.ledger = InMemoryLedger()
        self.clock = FakeClock()
        self.settings = Settings(
            batch_size=4, retry_wait_max_s=0.001, stall_limit_s=0.05, max_image_pixels=10_000
        )
        self.frames = InMemoryFrameStore()
        self.tombstones = InMemoryTombstones()
        self.seen: list[int] = []

    def frame(self, name: str = "f1", content: bytes | None = None) -> FrameItem:
        path = self.folder / f"{name}.jpg"
        path.write_bytes(jpeg(len(name)) if content is None else content)
        return FrameItem(
            frame_id=FrameId(name),
            vehicle_id=VehicleId("v1"),
            location=f"gt.json:{name}",
            image=path,
            detector=Detector("ods", "1"),
            detections=located(FOUND),
            annotations=true(TRUTH),
        )

    async def run(
        self,
        *items: Item,
        source: Source = Source.IMPORT,
        throttle: Callable[[], Awaitable[None]] | None = None,
        accept_partial: bool = False,
        journal: Journal | None = None,
    ) -> Summary:
        parts = replace(
            parts_in_memory(),
            outbox=self.outbox,
            blobs=self.blobs,
            ledger=self.ledger,
            frames=self.frames,
            tombstones=self.tombstones,
            settings=self.settings,
            clock=self.clock,
        )
        return await publish_dataset(
            items,
            parts,
            source=source,
            throttle=throttle,
            accept_partial=accept_partial,
            journal=journal,
            on_progress=lambda summary: self.seen.append(summary.done),
        )

    def published(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.outbox.published if isinstance(event, kind)]


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    return Ingest(tmp_path)


def rejection(number: int = 0) -> Rejection:
    return Rejection("score_not_finite", "score is nan", f"dt.json:[{number}]", b'{"score": NaN}')


async def test_a_frame_its_predictions_and_its_ground_truth_are_published(ingest: Ingest) -> None:
    summary = await ingest.run(ingest.frame())

    captured, predicted, annotated = ingest.outbox.published
    assert isinstance(captured, FrameCaptured)
    assert ingest.blobs.get(captured.image.uri) == jpeg(2)
    assert (captured.image.width, captured.image.height) == (64, 48)
    assert isinstance(predicted, PredictionsMade)
    assert (predicted.revision, predicted.detections) == (1, (FOUND,))
    assert isinstance(annotated, FrameAnnotated)
    assert (annotated.revision, annotated.annotations) == (1, (TRUTH,))
    assert summary.frames == summary.predictions == summary.ground_truth == Count(published=1)


async def test_a_second_run_says_nothing_new(ingest: Ingest) -> None:
    items: list[Item] = [ingest.frame(), rejection()]
    first = await ingest.run(*items)
    before = list(ingest.outbox.published)

    second = await ingest.run(*items)

    assert ingest.outbox.published == before
    assert second.frames == second.predictions == second.ground_truth == Count(known=1)
    assert second.rejected == first.rejected == {"score_not_finite": 1}


async def test_a_correction_is_the_next_revision_and_the_original_does_not_come_back(
    ingest: Ingest,
) -> None:
    original = ingest.frame()
    corrected = replace(original, annotations=())
    await ingest.run(original)
    await ingest.run(corrected)
    await ingest.run(original)

    annotated = ingest.published(FrameAnnotated)

    assert [getattr(event, "revision", None) for event in annotated] == [1, 2]
    assert len(ingest.published(FrameCaptured)) == 1


async def test_corrections_alone_need_no_image(ingest: Ingest) -> None:
    original = ingest.frame()
    await ingest.run(original)
    assert original.image
    original.image.unlink()

    summary = await ingest.run(original, source=Source.REANNOTATION)

    event = ingest.published(FrameAnnotated)[-1]
    assert isinstance(event, FrameAnnotated)
    assert (event.revision, event.annotation_source) == (2, "reannotation")
    assert (summary.frames, summary.predictions) == (Count(), Count())


async def test_a_correction_of_an_unknown_frame_is_refused(ingest: Ingest) -> None:
    summary = await ingest.run(ingest.frame(), source=Source.REANNOTATION)

    assert summary.rejected == {"unknown_frame": 1}
    assert ingest.published(FrameAnnotated) == []


async def test_another_picture_under_a_known_id_is_refused_with_all_of_its_own(
    ingest: Ingest,
) -> None:
    first = ingest.frame()
    await ingest.run(first)
    other = replace(ingest.frame("f22"), frame_id=first.frame_id, annotations=())

    summary = await ingest.run(other)

    assert summary.rejected == {"duplicate_id": 1}
    assert len(ingest.published(FrameAnnotated)) == 1
    assert list(ingest.blobs.contents) == [place_of(jpeg(2))]
    again = await ingest.run(replace(first, annotations=()))
    assert again.ground_truth == Count(published=1)


async def test_two_pictures_of_one_id_in_one_batch_are_not_mixed(ingest: Ingest) -> None:
    first = ingest.frame()
    other = replace(ingest.frame("f22"), frame_id=first.frame_id, annotations=())

    summary = await ingest.run(first, other)

    assert summary.rejected == {"duplicate_id": 1}
    (annotated,) = ingest.published(FrameAnnotated)
    assert isinstance(annotated, FrameAnnotated)
    assert annotated.annotations == (TRUTH,)


async def test_a_frame_that_comes_twice_in_a_data_set_is_refused_the_second_time(
    ingest: Ingest,
) -> None:
    first = ingest.frame()

    summary = await ingest.run(first, ingest.frame("f2"), replace(first, annotations=()))

    assert summary.rejected == {"duplicate_id": 1}
    assert summary.done == 3
    assert [
        truth.annotations
        for truth in ingest.published(FrameAnnotated)
        if isinstance(truth, FrameAnnotated)
    ] == [(TRUTH,), (TRUTH,)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (jpeg()[:-20], "truncated_image"),
        (b"GIF89a", "unsupported_format"),
        (b"", "unsupported_format"),
        (jpeg(size=(101, 100)), "too_many_pixels"),
    ],
)
async def test_a_bad_image_takes_its_frame_with_it(
    ingest: Ingest, content: bytes, reason: str
) -> None:
    summary = await ingest.run(ingest.frame("bad", content), ingest.frame("good"))

    assert summary.rejected == {reason: 1}
    assert summary.done == 2
    assert {event.key() for event in ingest.outbox.published} == {"good", ""}
    assert len(ingest.blobs.contents) == 1
    (letter,) = ingest.published(DeadLettered)
    assert isinstance(letter, DeadLettered)
    whole = json.loads(letter.original_value)
    assert whole["frame_id"] == "bad"
    assert len(whole["detections"]) == len(whole["annotations"]) == 1


async def test_pixels_that_are_not_all_there_are_found_before_anything_is_stored(
    ingest: Ingest,
) -> None:
    summary = await ingest.run(ingest.frame("bad", HALF_A_PNG), ingest.frame("good"))

    assert summary.rejected == {"truncated_image": 1}
    assert {event.key() for event in ingest.outbox.published} == {"good", ""}
    assert len(ingest.blobs.contents) == 1


@pytest.mark.parametrize("text", ["ods", "ods@", "@1", "a@b@c", "o ds@1", "ods@1 "])
def test_a_detector_is_a_name_and_a_version(text: str) -> None:
    assert Detector.parse("ods@1.2") == Detector("ods", "1.2")
    with pytest.raises(InvalidRecord, match="NAME@VERSION"):
        Detector.parse(text)


async def test_an_image_that_has_gone_is_named(ingest: Ingest) -> None:
    frame = ingest.frame()
    assert frame.image
    frame.image.unlink()

    assert (await ingest.run(frame)).rejected == {"unreadable_image": 1}


async def test_a_box_outside_is_refused_and_one_partly_outside_is_kept(ingest: Ingest) -> None:
    boxes = [
        (-5.0, 1.0, 6.0, 5.0),
        (64.0, 0.0, 5.0, 5.0),
        (-5.0, 1.0, 5.0, 5.0),
        (1.0, 48.0, 9.0, 9.0),
    ]
    found = located(*(FOUND.model_copy(update={"bbox": box}) for box in boxes))

    summary = await ingest.run(replace(ingest.frame(), detections=found))

    (predicted,) = ingest.published(PredictionsMade)
    assert isinstance(predicted, PredictionsMade)
    assert [detection.bbox for detection in predicted.detections] == boxes[:1]
    assert summary.rejected == {"box_outside_image": 3}
    assert [rejection.location for rejection in summary.rejections] == [
        "dt.json:[1]",
        "dt.json:[2]",
        "dt.json:[3]",
    ]


async def test_detections_that_are_all_outside_are_not_a_detector_that_found_nothing(
    ingest: Ingest,
) -> None:
    outside = located(FOUND.model_copy(update={"bbox": (64.0, 0.0, 5.0, 5.0)}))

    summary = await ingest.run(replace(ingest.frame(), detections=outside))

    assert ingest.published(PredictionsMade) == []
    assert summary.rejected == {"box_outside_image": 1}
    assert summary.adjusted == {Adjustment.NO_DETECTIONS_LEFT: 1}
    assert summary.unpredicted == {"f1"}


async def test_boxes_for_a_picture_of_twice_the_size_are_scaled_and_counted(
    ingest: Ingest,
) -> None:
    summary = await ingest.run(replace(ingest.frame(), size=(128, 96)))

    (predicted,) = ingest.published(PredictionsMade)
    assert isinstance(predicted, PredictionsMade)
    assert [detection.bbox for detection in predicted.detections] == [(0.5, 1, 1.5, 2)]
    assert summary.adjusted == {Adjustment.SCALED: 1}
    assert summary.adjusted_at == {Adjustment.SCALED: "gt.json:f1"}


async def test_what_comes_without_its_picture_is_brought_onto_the_stored_one(
    ingest: Ingest,
) -> None:
    await ingest.run(ingest.frame(), ingest.frame("f2"))
    captured = [item for item in ingest.outbox.published if isinstance(item, FrameCaptured)]
    await ingest.frames.record(captured)
    newer = Detector("ods", "2")
    half, other = (
        replace(ingest.frame(name), image=None, annotations=None, detector=newer, size=size)
        for name, size in (("f1", (128, 96)), ("f2", (64, 64)))
    )

    summary = await ingest.run(half, other)

    latest = ingest.published(PredictionsMade)[-1]
    assert isinstance(latest, PredictionsMade)
    assert [detection.bbox for detection in latest.detections] == [(0.5, 1, 1.5, 2)]
    assert summary.rejected == {"size_mismatch": 1}
    assert summary.adjusted == {Adjustment.SCALED: 1}


async def test_a_frame_of_another_shape_than_declared_is_refused_with_all_of_its_own(
    ingest: Ingest,
) -> None:
    summary = await ingest.run(replace(ingest.frame(), size=(64, 64)), ingest.frame("good"))

    assert summary.rejected == {"size_mismatch": 1}
    assert {event.key() for event in ingest.outbox.published} == {"good", ""}


async def test_a_rejection_is_a_dead_letter_with_its_place_and_bytes(ingest: Ingest) -> None:
    await ingest.run(rejection())

    (letter,) = ingest.outbox.published
    assert isinstance(letter, DeadLettered)
    assert (letter.service, letter.reason, letter.location) == (
        "ingest",
        "score_not_finite",
        "dt.json:[0]",
    )
    assert letter.original_value == b'{"score": NaN}'
    assert base64.b64encode(letter.original_value).decode() in letter.model_dump_json()


async def test_a_text_that_is_not_unicode_does_not_stop_its_dead_letter(ingest: Ingest) -> None:
    await ingest.run(Rejection("missing_image", "no \ud800", "\udcff.json", b"{}"))

    (letter,) = ingest.outbox.published
    assert isinstance(letter, DeadLettered)
    assert letter.detail == r"no \ud800"


async def test_nothing_of_an_erased_frame_is_published_or_kept(ingest: Ingest) -> None:
    request = ErasureRequest("ada", "request 17", CAPTURED_AT)
    await ingest.tombstones.add([FrameId("gone")], request)

    summary = await ingest.run(ingest.frame("gone"), ingest.frame("f1"))

    assert {event.key() for event in ingest.outbox.published} == {"f1"}
    assert list(ingest.blobs.contents) == [place_of(jpeg(2))]
    assert (summary.erased, summary.done, summary.frames) == (1, 2, Count(published=1))
    assert summary.rejected == {}


async def test_what_an_import_would_refuse_of_an_erased_frame_is_not_kept(ingest: Ingest) -> None:
    request = ErasureRequest("ada", "request 17", CAPTURED_AT)
    await ingest.tombstones.add([FrameId("torn"), FrameId("partial")], request)
    outside = TRUTH.model_copy(update={"bbox": (66.0, 2.0, 3.0, 4.0)})
    partial = replace(ingest.frame("partial"), annotations=true(TRUTH, outside))

    summary = await ingest.run(ingest.frame("torn", b"no image"), partial, ingest.frame("f1"))

    assert {event.key() for event in ingest.outbox.published} == {"f1"}
    assert (summary.erased, summary.done, summary.frames) == (2, 3, Count(published=1))
    assert summary.rejected == {}


async def test_a_correction_with_an_unknown_label_is_held(ingest: Ingest) -> None:
    await ingest.run(ingest.frame())
    kiosk = TRUTH.model_copy(update={"category": Category("kiosk")})

    summary = await ingest.run(
        replace(ingest.frame(), annotations=true(kiosk)), source=Source.REANNOTATION
    )

    assert (summary.held, summary.done) == ({"unknown_category": 1}, 1)
    assert len(ingest.published(FrameAnnotated)) == 1


async def test_a_short_absence_is_waited_out(ingest: Ingest) -> None:
    ingest.settings = ingest.settings.model_copy(update={"stall_limit_s": 60.0})
    ingest.outbox.failures = [
        BrokerUnavailable("away"),
        DeliveryUnconfirmed("late"),
        StoreUnavailable("slow"),
    ]

    summary = await ingest.run(ingest.frame())

    assert summary.frames == Count(published=1)
    assert len(ingest.outbox.published) == 3


async def test_what_was_not_acknowledged_is_sent_by_the_next_run(ingest: Ingest) -> None:
    frames = [ingest.frame(f"f{'x' * number}") for number in range(6)]
    ingest.settings = Settings(
        batch_size=2, retry_wait_max_s=0.001, stall_limit_s=0.001, max_image_pixels=10_000
    )

    async def fail_at_the_second_batch() -> None:
        if ingest.outbox.published:
            ingest.outbox.failures = [BrokerUnavailable("away")] * 1000

    with pytest.raises(BrokerUnavailable):
        await ingest.run(*frames, throttle=fail_at_the_second_batch)
    sent = len(ingest.published(FrameCaptured))
    ingest.outbox.failures = []

    summary = await ingest.run(*frames)

    assert sent == 2
    assert summary.frames == Count(published=4, known=2)
    assert {event.key() for event in ingest.published(FrameAnnotated)} == {
        frame.frame_id for frame in frames
    }


async def test_progress_counts_every_frame(ingest: Ingest) -> None:
    frames = [ingest.frame(f"f{'x' * number}") for number in range(9)]

    await ingest.run(*frames)

    assert ingest.seen == [4, 8, 9]


async def test_large_images_end_a_batch_early(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.batches.MAX_BATCH_BYTES", 1)

    await ingest.run(*(ingest.frame(f"f{'x' * number}") for number in range(3)))

    assert ingest.seen == [1, 2, 3]


async def test_a_frame_said_too_much_of_is_refused_in_that_part_only(ingest: Ingest) -> None:
    ingest.settings = ingest.settings.model_copy(update={"max_detections_per_frame": 150_000})
    frame = replace(ingest.frame(), detections=located(FOUND) * 150_000)

    summary = await ingest.run(frame)

    assert summary.rejected == {"event_too_large": 1}
    assert (summary.frames, summary.predictions) == (Count(published=1), Count())


async def test_an_empty_data_set_is_fine(ingest: Ingest) -> None:
    assert await ingest.run() == Summary()


async def test_an_import_that_is_stopped_goes_on_where_it_was(ingest: Ingest) -> None:
    frames = [ingest.frame(f"f{'x' * number}") for number in range(9)]

    async def stop_at_the_second_batch() -> None:
        if ingest.outbox.published:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await ingest.run(*frames, throttle=stop_at_the_second_batch)
    sent = len(ingest.published(FrameCaptured))

    summary = await ingest.run(*frames)

    assert sent == 4
    assert summary.frames == Count(published=5, known=4)
    assert len(ingest.outbox.published) == 27


async def test_something_said_of_a_frame_without_a_picture_needs_a_known_frame(
    ingest: Ingest,
) -> None:
    bare = replace(ingest.frame(), image=None)

    assert (await ingest.run(bare)).rejected == {"unknown_frame": 1}
    await ingest.run(ingest.frame())
    newer = replace(bare, detector=Detector("ods", "2"))
    assert (await ingest.run(newer)).predictions == Count(published=1)


async def test_boxes_that_were_taken_are_counted_also_when_they_were_there_before(
    ingest: Ingest,
) -> None:
    one = {RecordKind.DETECTION: 1, RecordKind.ANNOTATION: 1}
    assert (await ingest.run(ingest.frame())).boxes == one
    assert (await ingest.run(ingest.frame())).boxes == one


async def test_a_kind_of_which_every_record_was_refused_is_named(ingest: Ingest) -> None:
    outside = FOUND.model_copy(update={"bbox": (66.0, 2.0, 3.0, 4.0)})
    summary = await ingest.run(replace(ingest.frame(), detections=located(outside)))
    assert summary.wholly_refused() == {RecordKind.DETECTION: {"box_outside_image": 1}}


def partial(frame: FrameItem) -> FrameItem:
    """The frame, of which an annotation and a detection were refused."""
    return replace(frame, complete=False, detections_complete=False)


async def test_a_frame_of_which_something_was_refused_is_published_as_partial(
    ingest: Ingest,
) -> None:
    summary = await ingest.run(ingest.frame("f1"), partial(ingest.frame("part")))

    completeness = {
        (event.frame_id, type(event)): event.complete
        for event in ingest.outbox.published
        if isinstance(event, PredictionsMade | FrameAnnotated)
    }
    assert completeness == {
        ("f1", PredictionsMade): True,
        ("f1", FrameAnnotated): True,
        ("part", PredictionsMade): False,
        ("part", FrameAnnotated): False,
    }
    assert (summary.partial_predictions, summary.partial_ground_truth) == (1, 1)
    assert list(summary.partial_frames) == ["part"]


async def test_a_corrected_file_is_the_next_revision_of_a_partial_one(ingest: Ingest) -> None:
    await ingest.run(partial(ingest.frame()))
    cured = await ingest.run(ingest.frame())
    again = await ingest.run(ingest.frame())

    made = ingest.published(PredictionsMade), ingest.published(FrameAnnotated)
    for events in made:
        assert [(e.revision, e.complete) for e in events] == [(1, False), (2, True)]  # type: ignore[attr-defined]
    assert (cured.partial_ground_truth, cured.ground_truth) == (0, Count(published=1))
    assert again.ground_truth == Count(known=1)


async def test_whoever_accepts_partial_frames_has_them_counted(ingest: Ingest) -> None:
    await ingest.run(partial(ingest.frame()))
    summary = await ingest.run(partial(ingest.frame()), accept_partial=True)

    (_, annotated) = ingest.published(FrameAnnotated)
    assert isinstance(annotated, FrameAnnotated)
    assert (annotated.revision, annotated.complete) == (2, True)
    assert summary.partial_ground_truth == summary.partial_predictions == 0


async def test_detections_that_are_all_refused_are_not_a_detector_that_found_nothing(
    ingest: Ingest,
) -> None:
    outside = FOUND.model_copy(update={"bbox": (70, 50, 3, 4)})
    far_outside = FOUND.model_copy(update={"bbox": (500, 500, 3, 4)})
    nothing = replace(ingest.frame("empty"), detections=())
    refused = replace(ingest.frame("all"), detections=located(outside))
    some = replace(ingest.frame("some"), detections=located(outside, FOUND))
    wrong_unit = replace(ingest.frame("unit"), detections=located(far_outside, FOUND))

    summary = await ingest.run(nothing, refused, some, wrong_unit)

    made = [
        (event.frame_id, event.complete, len(event.detections))
        for event in ingest.published(PredictionsMade)
        if isinstance(event, PredictionsMade)
    ]
    # One outside the image shows nothing, so that nothing is missing without it.
    assert sorted(made) == [("empty", True, 0), ("some", True, 1), ("unit", False, 1)]
    assert summary.rejected == {"box_outside_image": 2, "box_far_outside": 1}


async def test_an_annotation_outside_the_image_hides_no_object(ingest: Ingest) -> None:
    outside = TRUTH.model_copy(update={"bbox": (70, 50, 3, 4)})

    await ingest.run(replace(ingest.frame(), annotations=true(TRUTH, outside)))

    (annotated,) = ingest.published(FrameAnnotated)
    assert isinstance(annotated, FrameAnnotated)
    assert annotated.complete


async def test_frames_that_show_a_picture_again_are_counted(ingest: Ingest) -> None:
    items = [ingest.frame(name, jpeg(seed)) for name, seed in (("a", 1), ("b", 2), ("c", 1))]

    assert (await ingest.run(*items)).copies == 1
    assert (await ingest.run(*items)).copies == 1


async def test_what_a_run_publishes_is_noted_and_can_be_published_again_once_it_is_undone(
    ingest: Ingest,
) -> None:
    imports, frame_id = InMemoryImports(), FrameId("f1")

    async def run(import_id: str) -> Summary:
        kind, at = ImportKind.DATA_SET, ingest.clock.now()
        noted = ImportRun(ImportId(import_id), kind, "street", "ada", at)
        return await ingest.run(
            ingest.frame(), journal=ImportJournal(noted, imports, InMemoryFrameStore())
        )

    await run("first")
    assert await imports.items_after(ImportId("first"), "", 9) == (
        [
            ImportItem(Part.FRAME, frame_id, 1),
            ImportItem(Part.GROUND_TRUTH, frame_id, 1),
            ImportItem(Part.PREDICTIONS, frame_id, 1, DetectorId("ods@1")),
        ],
        "predictions f1 ods@1",
    )
    assert (await run("repeat")).predictions == Count(known=1)
    assert [summary.run.import_id for summary in await imports.all()] == ["first"]

    await imports.mark_undone([frame_id], "after the undo")
    again = await run("again")
    assert again.frames == Count(known=1)
    assert again.predictions == again.ground_truth == Count(published=1)
    assert (await run("and again")).predictions == Count(known=1)
