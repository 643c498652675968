"""Print embedding models and their comparison as tables."""

from rich.console import Console
from rich.table import Table

from services.app.models import Models
from services.domain.statistics.ranking_quality import RankingMeasure
from services.domain.statistics.resampling import Interval
from services.retriever.comparison import Comparison


def print_models(out: Console, found: Models) -> None:
    """Print the models, their progress, and which one is live."""
    title = f"{found.captured:,} frames captured"
    table = Table(box=None, title=title, title_justify="left")
    table.add_column("model", overflow="fold")
    for heading in ("frames", "lacking", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for model in found.models:
        live = "live" if model.live else ""
        table.add_row(model.model_id, f"{model.done:,}", f"{model.lacking:,}", live)
    out.print(table)


def print_comparison(out: Console, found: Comparison) -> None:
    """Print each model's figures, and its difference to the first model."""
    if not found.frames:
        out.print("No haystack frame that all these models have embedded is corrected yet.")
        return
    out.print(
        f"{found.confirmed + found.rejected:,} regions on {found.frames:,} corrected haystack"
        f" frames: {found.confirmed:,} confirmed, {found.rejected:,} rejected",
        highlight=False,
    )
    table = Table(box=None)
    table.add_column("model", overflow="fold")
    for heading in ("haystack frames", *RankingMeasure):
        table.add_column(heading, justify="right")
    for place, model in enumerate(found.models):
        figures = [_figure(model.measures[measure]) for measure in RankingMeasure]
        table.add_row(model.model, f"{model.haystack_frames:,}", *figures)
        if place:
            above = [_figure(model.over_first[measure], sign="+") for measure in RankingMeasure]
            table.add_row("over the first", "", *above, style="dim")
    out.print(table)


def _figure(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return "\u2013"
    value, low, high = (f"{n:{sign}.3f}" for n in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"
