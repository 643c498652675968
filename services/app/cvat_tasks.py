"""Push shortlists from the stores to a CVAT server, and pull its finished jobs."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from services.annotation.cvat.jobs import read_cvat_jobs
from services.annotation.cvat.plans import planned
from services.annotation.exporting import family_units, known_frames, shortlist_units, shown_images
from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import AnnotationStores
from services.app.undoing.journals import journal_of
from services.contracts.errors import InvalidSettings, MissingPart
from services.contracts.identity import FrameId
from services.domain.ports.imports import ImportKind
from services.domain.redaction import ShownImage
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest, NamedFrame
from services.formats.writers.frames import ExportFrame
from services.ingest.parts import IngestParts
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.ingest.summary import Summary
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages
from services.runtime.step import Outbox

if TYPE_CHECKING:
    from services.annotation.cvat.server import CvatServer, JobFrame


@dataclass
class Pushed:
    """The result of a push."""

    created: int = 0
    frames: int = 0
    existing: int = 0


@dataclass(frozen=True)
class Pulled:
    """The result of a pull."""

    finished: int
    unfinished: int
    summary: Summary


async def push_tasks(
    stores: AnnotationStores,
    settings: Settings,
    by: Literal["shortlist", "family"],
    wanted: NeedleFilter,
) -> Pushed:
    """Create a task per shortlist or family, for frames that have no task yet.

    Raises
    ------
    ToolUnavailable, InvalidSettings, InvalidRecord
        The server does not answer, or refuses the token or the task.
    """
    units = await (shortlist_units if by == "shortlist" else family_units)(stores, wanted)
    images = ShownImages.of(stores.blobs, settings)
    frames = [frame for unit in units.values() for frame in unit]
    shown = await shown_images(stores, frames, images)
    sent = {
        name: [frame for frame in unit if frame.frame_id in shown] for name, unit in units.items()
    }
    return await asyncio.to_thread(_push, settings, sent, shown, images)


async def pull_jobs(
    stores: AnnotationStores, outbox: Outbox, settings: Settings, clock: Clock
) -> Pulled:
    """Publish the frames of finished jobs; a repetition publishes nothing new."""
    frames, finished, unfinished = await asyncio.to_thread(_pull, settings)
    stems = {Path(frame["name"]).stem for frame in frames}
    known = await known_frames(stores, stems)
    sent = Manifest(
        {
            frame.stem: NamedFrame(
                frame.frame_id, (frame.width, frame.height), frame.annotations or ()
            )
            for frame in known
        }
    )
    dataset = restored(read_cvat_jobs(frames, sent), sent, ("crowd", "ignore", "mask"))
    summary = await publish_dataset(
        dataset.items,
        IngestParts.of(stores, outbox, settings, clock),
        source=Source.REANNOTATION,
        way="cvat",
        journal=journal_of(stores, ImportKind.CORRECTIONS, "CVAT", "cvat", clock.now()),
    )
    return Pulled(finished, unfinished, summary)


def _push(
    settings: Settings,
    units: Mapping[str, list[ExportFrame]],
    shown: Mapping[FrameId, ShownImage],
    images: ShownImages,
) -> Pushed:
    with cvat_server(settings) as server:
        existing = server.tasks()
        known = {name for task in existing.values() for name in server.images(task)}
        done = Pushed(existing=len(existing))
        for plan in planned(units, existing.keys(), known):
            server.create(plan, lambda frame: images.content(shown[frame.frame_id]))
            done.created += 1
            done.frames += len(plan.frames)
    return done


def _pull(settings: Settings) -> "tuple[list[JobFrame], int, int]":
    from services.annotation.cvat.server import is_finished  # noqa: PLC0415  # an extra

    frames: list[JobFrame] = []
    finished = unfinished = 0
    with cvat_server(settings) as server:
        for task in server.tasks().values():
            for job in server.jobs(task):
                if is_finished(job):
                    finished += 1
                    frames += server.frames(job)
                else:
                    unfinished += 1
    return frames, finished, unfinished


@contextmanager
def cvat_server(settings: Settings) -> "Iterator[CvatServer]":
    """The server that the settings name.

    Raises
    ------
    MissingPart, InvalidSettings, ToolUnavailable
        The SDK is not installed; no URL is set, or the token is refused; the server does not
        answer.
    """
    try:
        from services.annotation.cvat.server import CvatServer  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as exc:
        raise MissingPart('CVAT\'s SDK is missing: pip install "gazeloop[cvat]"') from exc
    if not settings.cvat_url:
        raise InvalidSettings("GAZELOOP_CVAT_URL is empty: set it to the server's address")
    with CvatServer.connected(settings.cvat_url, settings.cvat_token.get_secret_value()) as server:
        yield server
