"""`gazeloop demo`: the whole pipeline on a synthetic survey."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.montage_options import MontageOptions
from services.cli.option_groups import with_option_groups

app = typer.Typer()


@app.command(
    "demo", epilog=example("demo", "--data /tmp/small demo --drives 10 --frames 8 --no-serve")
)
@with_option_groups
@done_by("services.cli.work.demo")
def demo(
    ctx: typer.Context,
    *,
    drives: Annotated[int, typer.Option(min=2, help="Drives of the survey.")] = 30,
    frames: Annotated[int, typer.Option(min=1, help="Frames per drive.")] = 20,
    montages: MontageOptions,
    serve: Annotated[
        bool | None,
        typer.Option(
            "--serve/--no-serve",
            help="Keep serving after mining, until Ctrl-C. Default: on a terminal only.",
        ),
    ] = None,
) -> None:
    """Mine a synthetic survey from end to end, and print the report.

    Draws thirty short drives of three vehicles (reused next time), with ground truth and a
    simulated detector that fails systematically: it takes round red billboards for stop signs and
    shop lamps for traffic lights. Data folder: `./demo-data`.
    """
