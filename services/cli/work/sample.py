"""What `gazeloop sample` does."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import typer
from rich.table import Table

from services.app.parts import App
from services.app.reporting import sample_campaigns
from services.app.undoing.campaigns import note_campaign, refuse_undone
from services.cli.account import account
from services.cli.console import console
from services.cli.context import run, shared
from services.cli.rounding import rounded
from services.cli.work.opened import opened
from services.cli.work.sample_file import read_sample
from services.contracts.identity import DetectorId
from services.evaluator.samples.campaigns import SampleCampaigns
from services.evaluator.samples.report import FIGURES, DrawnSample, Estimate, SampledReport
from services.runtime.clock import SystemClock

T = TypeVar("T")


def draw(ctx: typer.Context, *, detector: str, frames: int, campaign: str) -> None:
    """Run `gazeloop sample draw`."""

    async def drawn(app: App, samples: SampleCampaigns) -> DrawnSample:
        sample = await samples.draw(campaign, DetectorId(detector), frames)
        stores, now = app.stores, SystemClock().now()
        await note_campaign(stores.imports, stores.frames, sample, account(), now)
        return sample

    found = _done(ctx, drawn)
    print(found.model_dump_json(indent=2))  # noqa: T201  # to be piped


def estimate(ctx: typer.Context, *, drawn: Path, as_json: bool) -> None:
    """Run `gazeloop sample estimate`."""
    sample = read_sample(drawn)

    async def estimated(app: App, samples: SampleCampaigns) -> SampledReport:
        await refuse_undone(app.stores.imports, sample)
        return await samples.estimate(sample)

    report = _done(ctx, estimated)
    if as_json:
        print(report.model_dump_json(indent=2))  # noqa: T201  # to be piped
    else:
        _print(report)


def _done(ctx: typer.Context, work: Callable[[App, SampleCampaigns], Awaitable[T]]) -> T:
    context = shared(ctx)

    async def whole() -> T:
        async with opened(context.stored(), "sample") as app:
            return await work(app, sample_campaigns(app.stores, app.settings))

    return run(whole, interrupted="Nothing was changed.")


def _print(report: SampledReport) -> None:
    out = console()
    out.print(
        f"{report.detector}: {report.drawn:,} drawn and {report.chosen:,} shortlisted frames are"
        f" annotated, of {report.haystack:,} in the haystack",
        highlight=False,
    )
    table = Table(box=None)
    for heading in ("", "estimate", "95% interval", "naive"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in FIGURES:
        part: Estimate = getattr(report, name)
        bounds = (
            "" if part.interval is None else f"{part.interval[0]:.3f} to {part.interval[1]:.3f}"
        )
        title = "mAP" if name == "map" else name
        table.add_row(title, rounded(part.estimate), bounds, rounded(part.naive))
    out.print(table)
    if report.awaited:
        text = f"{report.awaited:,} drawn frames are not annotated yet: taken to be like the others"
        out.print(text, style="yellow", highlight=False)
    if report.rare_categories:
        text = f"mAP is over {report.categories} categories; {report.rare_categories} are too rare"
        out.print(text, style="yellow", highlight=False)
