"""Undo an import of a mined data folder by a command that is killed, beside running services."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from services.app.parts import App
from tests.e2e.command_line import GAZELOOP, environment
from tests.e2e.erasing import stack

_PATIENCE_S = 120


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


async def undone_despite_a_kill(data: Path) -> Undone:
    """Undo all imports; the command is killed once its first request is noted."""
    async with stack(data) as app:
        await app.caught_up()
        before = await _content(app)
        first, *others = [item.run.import_id for item in await app.stores.imports.all()]
        killed = await _undoing(data, first)
        while killed.returncode is None and not await app.stores.imports.unfinished():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.001)
        if killed.returncode is None:
            killed.kill()
        exit_code = await killed.wait()
        for import_id in others:
            assert await (await _undoing(data, import_id)).wait() == 0
        async with asyncio.timeout(_PATIENCE_S):
            # Ingest finishes what the killed command began.
            while await app.stores.imports.unfinished():  # noqa: ASYNC110  # the store has no events
                await asyncio.sleep(0.1)
        await app.caught_up()
        return Undone(before, exit_code, await _content(app))


async def _undoing(data: Path, import_id: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(*GAZELOOP, "--data", str(data), "undo", import_id),
        env=environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _content(app: App) -> Content:
    needles = [record async for record in app.stores.needles.scan() if record.active]
    annotated = predicted = 0
    async for records in app.stores.frames.evaluable(None):
        for record in records:
            annotated += record.ground_truth is not None and not record.ground_truth.withdrawn
            predicted += sum(not made.withdrawn for made in record.predictions.values())
    return Content(len(needles), annotated, predicted)
