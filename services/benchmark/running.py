"""Run a benchmark: measure, draw, print and write the results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from services.benchmark import measuring, montages, results
from services.benchmark.measuring import Embedded, Searched
from services.benchmark.models import Choice, embedder_of
from services.benchmark.plot import plot
from services.benchmark.results import Measured
from services.benchmark.searches import SEARCHES, available
from services.contracts.errors import InvalidSettings
from services.domain.arrays import IntArray
from services.domain.statistics.collapse import collapse_of
from services.domain.statistics.retrieval_quality import whole_map
from services.embedder.training.choices import LabelRule, Looked
from services.embedder.training.labelled import Example, LabelledFrame, examples, of_categories
from services.formats.json_files import read_json
from services.runtime.embedded.private_folder import as_the_user_writes
from services.runtime.settings import Settings

_MIN_EXAMPLES = 3


@dataclass(frozen=True)
class Drawing:
    """The queries to draw: those of named frames, else this many."""

    names: Sequence[str]
    count: int


@dataclass(frozen=True)
class RetrievalRun:
    """A benchmark's embedders, searches, data and output folder.

    Attributes
    ----------
    coco : the frames' COCO file, for its supercategories; None for other sources
    """

    coco: Path | None
    looked: Looked
    rule: LabelRule
    models: Sequence[str]
    searches: Sequence[str]
    supercategories: Sequence[str]
    letterbox: int | None
    queries: int
    depth: int
    seed: int
    drawing: Drawing
    to: Path


def measured(
    run: RetrievalRun, frames: Sequence[LabelledFrame], settings: Settings, out: Console
) -> list[Measured]:
    """Measure every embedder with every search, and write montages.

    Raises
    ------
    InvalidSettings, MissingPart, MissingWeights
        A requested part does not exist.
    """
    choices = [Choice.parse(text) for text in run.models or [settings.embedder]]
    searches = _searches(run.searches)
    supercategory = _supercategories(run)
    chosen = examples(_chosen(frames, run, supercategory), run.looked, run.rule)
    if len(chosen) < _MIN_EXAMPLES:
        raise InvalidSettings(
            f"{len(chosen)} annotated {run.looked} are too few to search: give more frames"
        )
    with as_the_user_writes():
        run.to.mkdir(parents=True, exist_ok=True)
    prepared = _Prepared(run, settings, chosen, supercategory, searches)
    return [_one(choice, prepared, out) for choice in choices]


def _searches(named: Sequence[str]) -> list[str]:
    for name in named:
        if name not in SEARCHES:
            raise InvalidSettings(f"there is no search {name!r}; there are {', '.join(SEARCHES)}")
    return list(named) or available()


def _supercategories(run: RetrievalRun) -> dict[str, str]:
    """Supercategories by category; only COCO files have them."""
    if run.coco is None:
        if run.supercategories:
            raise InvalidSettings("only COCO files have supercategories: name one with --coco")
        return {}
    listed = read_json(run.coco).get("categories", [])
    found = {
        str(document["name"]): str(document["supercategory"])
        for document in listed
        if isinstance(document, dict) and document.get("supercategory") and "name" in document
    }
    for name in run.supercategories:
        if name not in found.values():
            known = ", ".join(sorted({*found.values()})) or "none"
            raise InvalidSettings(f"there is no supercategory {name!r}; there are {known}")
    return found


def _chosen(
    frames: Sequence[LabelledFrame], run: RetrievalRun, supercategory: Mapping[str, str]
) -> list[LabelledFrame]:
    if not run.supercategories:
        return list(frames)
    wanted = {name for name, above in supercategory.items() if above in run.supercategories}
    return of_categories(frames, wanted)


@dataclass(frozen=True)
class _Prepared:
    """The data that every embedder is measured on."""

    run: RetrievalRun
    settings: Settings
    examples: Sequence[Example]
    supercategory: Mapping[str, str]
    searches: Sequence[str]


def _one(choice: Choice, prepared: _Prepared, out: Console) -> Measured:
    run = prepared.run
    embedded = _embedded(choice, prepared, out)
    vectors = embedded.vectors
    truth = measuring.truth_of(embedded.examples, prepared.supercategory)
    rng = np.random.default_rng(run.seed)
    queries = np.sort(rng.permutation(len(vectors))[: run.queries])
    depth = min(run.depth, len(vectors) - 1)
    found = []
    for name in prepared.searches:
        out.print(f"{choice.title}: {name}", style="dim", highlight=False)
        found.append(measuring.search(name, vectors, truth, queries, depth))
    _draw(choice, embedded, found[0], queries, run)
    return Measured(
        choice.title,
        vectors.shape[1],
        len(vectors),
        len(vectors) / max(embedded.seconds, 1e-9),
        whole_map(vectors, queries, truth.levels, truth.apart),
        collapse_of(vectors),
        found,
    )


def _embedded(choice: Choice, prepared: _Prepared, out: Console) -> Embedded:
    letterbox, chosen = prepared.run.letterbox, prepared.examples
    embedder = embedder_of(choice, prepared.settings, letterbox)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as progress:
        task = progress.add_task(choice.title, total=len(chosen))
        embedded = measuring.embed(
            embedder, chosen, letterbox, lambda count: progress.advance(task, count)
        )
    if embedded.unreadable:
        count, first = len(embedded.unreadable), embedded.unreadable[0]
        text = f" {count:,} frames whose image cannot be read; the first: {first}"
        out.print(Text.assemble(("left out:", "yellow"), text))
    if len(embedded.examples) < _MIN_EXAMPLES:
        raise InvalidSettings(f"only {len(embedded.examples)} examples can be read")
    return embedded


def _draw(
    choice: Choice,
    embedded: Embedded,
    found: Searched,
    queries: IntArray,
    run: RetrievalRun,
) -> None:
    rows = montages.chosen_queries(run.drawing.names, run.drawing.count, embedded.examples, queries)
    for row in rows:
        query = embedded.examples[queries[row]]
        best = [embedded.examples[place] for place in found.ranked[row].tolist() if place >= 0]
        title = f"{choice.title}, {found.name}"
        file = run.to / f"{choice.stem}-{queries[row]:06d}.png"
        with as_the_user_writes():
            file.write_bytes(montages.drawn(title, query, best))


def shown(run: RetrievalRun, found: Sequence[Measured], out: Console) -> None:
    """Print the tables, and write them and the plot."""
    depth = min(run.depth, min(result.examples for result in found) - 1)
    rows = results.rows(found, depth)
    tables = results.whole_table(rows), *results.quality_tables(rows, depth)
    for table in (*tables, results.cost_table(rows)):
        out.print(table)
        out.print()
    for result in found:
        if result.collapsed:
            title = f"{result.model} has collapsed:", "bold red"
            text = f" {result.collapsed}. Its ranking is arbitrary; see docs/train-an-embedder.md."
            out.print(Text.assemble(title, text))
    with as_the_user_writes():
        (run.to / "retrieval.csv").write_text(results.as_csv(rows))
        (run.to / "retrieval.svg").write_text(plot(rows))
    out.print(f"Table, plot and montages in {run.to}", highlight=False)
