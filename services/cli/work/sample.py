"""What `gazeloop sample` does."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import typer
from rich.table import Table

from services.app.parts import joined
from services.app.reporting import sample_campaigns
from services.cli.console import console
from services.cli.context import run, shared
from services.cli.logs import log_to_file
from services.cli.work.sample_file import read_sample
from services.contracts.identity import DetectorId
from services.evaluator.samples.campaigns import SampleCampaigns
from services.evaluator.samples.report import FIGURES, Estimate, SampledReport

T = TypeVar("T")


def draw(ctx: typer.Context, *, detector: str, frames: int, campaign: str) -> None:
    """Run `gazeloop sample draw`."""
    found = _done(ctx, lambda samples: samples.draw(campaign, DetectorId(detector), frames))
    print(found.model_dump_json(indent=2))  # noqa: T201  # to be piped


def estimate(ctx: typer.Context, *, drawn: Path, as_json: bool) -> None:
    """Run `gazeloop sample estimate`."""
    sample = read_sample(drawn)
    report = _done(ctx, lambda samples: samples.estimate(sample))
    if as_json:
        print(report.model_dump_json(indent=2))  # noqa: T201  # to be piped
    else:
        _print(report)


def _done(ctx: typer.Context, work: Callable[[SampleCampaigns], Awaitable[T]]) -> T:
    context = shared(ctx)

    async def opened() -> T:
        settings = context.stored()
        log_to_file(settings, "sample")
        async with joined(settings) as app:
            return await work(sample_campaigns(app.stores, settings))

    return run(opened, interrupted="Nothing was changed.")


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
        table.add_row(title, _number(part.estimate), bounds, _number(part.naive))
    out.print(table)
    if report.awaited:
        text = f"{report.awaited:,} drawn frames are not annotated yet: taken to be like the others"
        out.print(text, style="yellow", highlight=False)
    if report.rare_categories:
        text = f"mAP is over {report.categories} categories; {report.rare_categories} are too rare"
        out.print(text, style="yellow", highlight=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001
