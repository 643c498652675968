"""Commands that change a mined data folder, and are killed, beside running services."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from services.app.parts import App
from services.domain.ports.imports import ImportKind
from services.runtime.stores.category_maps_mongo import MongoCategoryMaps
from services.runtime.stores.imports_mongo import MongoImports
from tests.e2e.command_line import exit_code_of, killed_after
from tests.e2e.erasing import stack

_PATIENCE_S = 300


@dataclass(frozen=True)
class Content:
    """What counts of a data folder."""

    needles: int
    annotated: int
    predicted: int


@dataclass(frozen=True)
class Undone:
    before: Content
    exit_code: int
    after: Content


@dataclass(frozen=True)
class Ignored:
    """Active needles of a category before and after a detector's category was ignored, and all."""

    exit_code: int
    before: int
    after: int
    others: int


async def changed_despite_kills(data: Path) -> tuple[Ignored, Undone]:
    """Ignore a category, then undo all imports; the first command of each kind is killed."""
    async with stack(data) as app:
        await app.caught_up()
        return await _ignored_despite_a_kill(app, data), await _undone_despite_a_kill(app, data)


async def _ignored_despite_a_kill(app: App, data: Path) -> Ignored:
    """Ignore a category of a detector by a command that is killed once the map is stored."""
    needles = [record.needle async for record in app.stores.needles.scan() if record.active]
    first = next(needle for needle in needles if needle is not None)
    detector, category = first.detector, first.category
    maps = app.stores.category_maps
    command = ("categories", "ignore", detector, category)
    exit_code = await killed_after(MongoCategoryMaps.change, data, *command)
    async with asyncio.timeout(_PATIENCE_S):
        # Ingest finishes what the killed command began.
        while await maps.unmatched():  # noqa: ASYNC110  # the store has no events
            await asyncio.sleep(0.1)
    await app.caught_up()
    left = [record.needle async for record in app.stores.needles.scan() if record.active]
    named = [needle.category for needle in left if needle and needle.detector == detector]
    before = sum(n.category == category for n in needles if n and n.detector == detector)
    return Ignored(exit_code, before, named.count(category), len(named) - named.count(category))


async def _undone_despite_a_kill(app: App, data: Path) -> Undone:
    """Undo all imports; the command is killed once its first request is noted."""
    before = await _content(app)
    runs = [item.run for item in await app.stores.imports.all()]
    # The campaign last: to end it changes nothing here.
    runs.sort(key=lambda run: run.kind is ImportKind.CAMPAIGN)
    first, *others = [run.import_id for run in runs]
    exit_code = await killed_after(MongoImports.request, data, "undo", first)
    for import_id in others:
        assert await exit_code_of(data, "undo", import_id) == 0
    async with asyncio.timeout(_PATIENCE_S):
        # Ingest finishes what the killed command began.
        while await app.stores.imports.unfinished():  # noqa: ASYNC110  # the store has no events
            await asyncio.sleep(0.1)
    await app.caught_up()
    return Undone(before, exit_code, await _content(app))


async def _content(app: App) -> Content:
    needles = [record async for record in app.stores.needles.scan() if record.active]
    annotated = predicted = 0
    async for records in app.stores.frames.evaluable(None):
        for record in records:
            annotated += record.ground_truth is not None and not record.ground_truth.withdrawn
            predicted += sum(not made.withdrawn for made in record.predictions.values())
    return Content(len(needles), annotated, predicted)
