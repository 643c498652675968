"""Benchmark results as rows, for tables, CSV and plots."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from services.benchmark.measuring import Searched
from services.domain.statistics.retrieval_quality import PRECISION_AT, RECALL_AT, RetrievalQuality
from services.formats.csv_cells import cell_of


@dataclass(frozen=True)
class Measured:
    """One embedder on the data set.

    Attributes
    ----------
    whole_map : mean average precision of the exact ranking of all examples, by level
    collapsed : a description of the vectors' collapse, if they have collapsed
    """

    model: str
    dimension: int
    examples: int
    per_second: float
    whole_map: dict[str, float]
    collapsed: str | None
    searches: Sequence[Searched]


Row = dict[str, str | int | float]


def rows(measured: Sequence[Measured], depth: int) -> list[Row]:
    """One row per embedder, search and level."""
    return [
        {
            "model": run.model,
            "dimension": run.dimension,
            "examples": run.examples,
            "examples_per_s": round(run.per_second, 2),
            "search": search.name,
            "level": level,
            "queries": quality.queries,
            **_figures(quality, depth),
            "mAP": round(run.whole_map[level], 4),
            "build_s": round(search.build_s, 4),
            "queries_per_s": round(search.queries_per_s, 1),
            "recall_of_exact": round(search.recall_of_exact, 4),
            "bytes_per_vector": round(search.bytes_per_vector, 1),
        }
        for run in measured
        for search in run.searches
        for level, quality in search.quality.items()
    ]


def _figures(quality: RetrievalQuality, depth: int) -> Row:
    return {
        **{f"P@{k}": round(quality.precision[k], 4) for k in PRECISION_AT},
        **{f"R@{k}": round(quality.recall[k], 4) for k in RECALL_AT},
        f"mAP@{depth}": round(quality.mean_average_precision, 4),
        "report_P@4": round(quality.report_precision, 4),
        "report_R@4": round(quality.report_recall, 4),
    }


def as_csv(found: Sequence[Row]) -> str:
    """All columns, with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell_of(value) for name, value in row.items()} for row in found)
    return text.getvalue()


def whole_table(found: Sequence[Row]) -> Table:
    """Mean average precision of each embedder's exact ranking of all examples."""
    table = Table(title="Embedders", title_justify="left", box=None, header_style="dim")
    for column in ("model", "level", "dimension", "examples", "examples/s", "mAP"):
        table.add_column(column, justify="left" if column in {"model", "level"} else "right")
    for row in {(row["model"], row["level"]): row for row in found}.values():
        figures = (row["dimension"], row["examples"], row["examples_per_s"], row["mAP"])
        table.add_row(str(row["model"]), str(row["level"]), *(_cell(figure) for figure in figures))
    return table


def quality_tables(found: Sequence[Row], depth: int) -> list[Table]:
    """Retrieval quality, one table per level."""
    columns = [
        *(f"P@{k}" for k in PRECISION_AT),
        *(f"R@{k}" for k in RECALL_AT),
        f"mAP@{depth}",
        "report_P@4",
        "report_R@4",
    ]
    levels = dict.fromkeys(str(row["level"]) for row in found)
    return [
        _table(
            f"By {level}, {row_of(found, level)['queries']:,} queries",
            [row for row in found if row["level"] == level],
            columns,
        )
        for level in levels
    ]


def row_of(found: Sequence[Row], level: str) -> Row:
    """The first row of a level."""
    return next(row for row in found if row["level"] == level)


def cost_table(found: Sequence[Row]) -> Table:
    """Each search's cost, and its recall of the exact results."""
    level = found[0]["level"]
    columns = ["build_s", "queries_per_s", "recall_of_exact", "bytes_per_vector"]
    return _table("Cost", [row for row in found if row["level"] == level], columns)


def _table(title: str, found: Sequence[Row], columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="dim")
    table.add_column("search", no_wrap=True)
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    before = ""
    for row in found:
        model = str(row["model"])
        if model != before:
            table.add_row(model, *[""] * len(columns), style="bold")
        cells = [_cell(row[column]) for column in columns]
        table.add_row(f"  {row['search']}", *cells)
        before = model
    return table


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004  # shares and seconds
    return value if isinstance(value, str) else f"{value:,}"
