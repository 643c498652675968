"""Build erasers: with running services, which erase what they hold themselves, and without any."""

from functools import partial
from typing import Final

from services.annotation.stores.annotation_tasks_mongo import MongoAnnotationTasks
from services.annotation.stores.frame_traces import of_annotation
from services.app.drawn_pictures import montage_folder, search_folder
from services.app.erasure.dead_letters import DeadLetterTraces
from services.app.erasure.eraser import FrameEraser, Outside
from services.app.erasure.exports import ExportCopies, ExportTraces
from services.app.erasure.montages import MontageTraces, SearchPictures
from services.app.erasure.needles import NeedleTraces
from services.app.erasure.outside import BackupCopies, CvatCopies, LabelStudioCopies, TopicCopies
from services.app.erasure.tool_tasks import ToolTaskTraces
from services.app.erasure.vectors import RecordedVectors, VectorTraces
from services.domain.ports.erasure import CountedTraces, FrameTraces, OutsideCopies
from services.domain.ports.vectors import VectorStore
from services.runtime.clock import Clock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import RecordOutbox, read_letters
from services.runtime.settings import Settings
from services.runtime.stores import frame_traces
from services.runtime.stores.frame_traces import ImageTraces
from services.runtime.stores.opening import Stores

CONFIRMING: Final = ("embedder", "fp_miner", "retriever")
"""The services that store something about a frame and are informed of its erasure."""


def eraser_with_services(
    stores: Stores, outbox: RecordOutbox, settings: Settings, clock: Clock
) -> FrameEraser:
    """Erases frames beside running services, which erase vectors, needles and what they hold."""
    traces = [*_of_people(stores, outbox, settings, clock), *_of_frames(stores)]
    outside = _outside(stores, settings, clock)
    vectors = RecordedVectors(stores.embeddings)
    of_services: list[CountedTraces] = [NeedleTraces(stores.needles, outbox), vectors]
    return FrameEraser(stores.tombstones, traces, outbox, outside, of_services, CONFIRMING)


def eraser_alone(
    stores: Stores, outbox: RecordOutbox, vectors: VectorStore, settings: Settings, clock: Clock
) -> FrameEraser:
    """Erases frames where no service runs: everything."""
    traces = [
        *_of_people(stores, outbox, settings, clock),
        NeedleTraces(stores.needles, outbox),
        *frame_traces.of_retriever(stores.database),
        VectorTraces(vectors),
        *_of_frames(stores),
    ]
    return FrameEraser(stores.tombstones, traces, outbox, _outside(stores, settings, clock))


def _of_people(
    stores: Stores, outbox: RecordOutbox, settings: Settings, clock: Clock
) -> list[FrameTraces]:
    """What people have decided, corrected and been asked; before needles, by which it is found."""
    read = partial(read_letters, BrokerAddress.of(settings), settings)
    return [
        DeadLetterTraces(read, outbox, clock),
        ExportTraces(stores.audit),
        MontageTraces(stores.database, montage_folder(settings.data)),
        SearchPictures(search_folder(settings.data)),
        ToolTaskTraces(MongoAnnotationTasks(stores.database), settings),
        *of_annotation(stores.database),
        *frame_traces.of_operators(stores.database),
    ]


def _outside(stores: Stores, settings: Settings, clock: Clock) -> Outside:
    places: list[OutsideCopies] = [
        LabelStudioCopies(MongoAnnotationTasks(stores.database), settings),
        CvatCopies(settings),
        ExportCopies(stores.audit),
        BackupCopies(stores.audit),
        TopicCopies(settings),
    ]
    return Outside(places, stores.audit, clock)


def _of_frames(stores: Stores) -> list[FrameTraces]:
    """Images before frames, by which they are found."""
    images = ImageTraces(stores.database, stores.blobs)
    of_embedder = frame_traces.of_embedder(stores.database)
    return [images, *of_embedder, *frame_traces.of_fp_miner(stores.database)]
