"""`gazeloop benchmark retrieval`: compare embedders and vector searches on retrieval quality."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.labelled_source import ExampleOptions, Source
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups

app = typer.Typer(no_args_is_help=True)


@app.callback()
def benchmarking() -> None:
    """Measure on your own annotated frames."""


@dataclass(frozen=True)
class ComparedOptions:
    """The embedders and searches to compare."""

    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME[=FILE]",
            help="An embedder, optionally with a weights file; `NAME@random` is untrained,"
            " `hsv-histogram` is a colour baseline. Repeatable. Default: the configured embedder.",
        ),
    ] = None
    searches: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="NAME",
            help="exact-cosine, exact-euclidean, faiss-flat, faiss-hnsw, annoy-angular,"
            " annoy-euclidean, qdrant-hnsw, qdrant-hnsw-int8. Default: all that are installed;"
            " FAISS and Annoy come with `pip install 'gazeloop[benchmark]'`.",
        ),
    ] = None


@dataclass(frozen=True)
class QueryOptions:
    """The queries, and how far their rankings are evaluated."""

    queries: Annotated[int, typer.Option("--queries", min=1, help="Maximum number of queries.")] = (
        1000
    )
    depth: Annotated[
        int, typer.Option("--depth", min=10, help="Depth to which rankings are evaluated.")
    ] = 100
    seed: Annotated[int, typer.Option("--seed", help="Seed for choosing queries.")] = 0


@dataclass(frozen=True)
class DrawingOptions:
    """The queries to draw with their results."""

    montages: Annotated[
        int,
        typer.Option("--montages", min=0, help="Number of montages of queries with their results."),
    ] = 4
    query: Annotated[
        list[str] | None,
        typer.Option(
            "--query", metavar="FRAME", help="Draw the montage of this frame. Repeatable."
        ),
    ] = None


@app.command(
    "retrieval",
    epilog=example(
        "benchmark retrieval --coco gt.json --images DIR --model squeezenet1_0=squeeze.pth"
        " --model resnet18@random --model hsv-histogram",
        "benchmark retrieval --coco instances_train2014.json --images train2014 --of frames"
        " --letterbox 224 --supercategory animal --supercategory sports --supercategory food",
    ),
)
@with_option_groups
@done_by("services.cli.work.benchmark")
def retrieval(
    ctx: typer.Context,
    *,
    source: Source,
    examples: ExampleOptions,
    compared: ComparedOptions,
    supercategories: Annotated[
        list[str] | None,
        typer.Option(
            "--supercategory",
            metavar="NAME",
            help="Only objects of this supercategory of the COCO file. Repeatable.",
        ),
    ] = None,
    letterbox: Annotated[
        int | None,
        typer.Option(
            "--letterbox",
            min=32,
            metavar="SIDE",
            help="Whole frames: scale the longer side to this and pad the rest, as report 2 did.",
        ),
    ] = None,
    queries: QueryOptions,
    drawing: DrawingOptions,
    to: Annotated[
        Path, typer.Option("--to", file_okay=False, metavar="DIR", help="Output folder.")
    ] = Path("benchmark-retrieval"),
) -> None:
    """Rank annotated examples by similarity: precision, recall, mAP, speed and memory.

    Every example is a query against all others, except those of its own drive (or frame, if drives
    are unknown). Examples of the query's category are relevant; recall counts all of them,
    retrieved or not. `report P@4` and `report R@4` are computed as in report 2: see
    docs/train-an-embedder.md.
    """
