"""`gazeloop cvat`: create tasks on a CVAT server, and publish finished jobs as ground truth."""

from typing import Annotated, Literal

import typer

from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.needle_options import NeedleOptions
from services.cli.option_groups import with_option_groups

app = typer.Typer(no_args_is_help=True)

UnitName = Literal["shortlist", "family"]


@app.callback()
def cvat() -> None:
    """Send shortlists to a CVAT server, and fetch the annotation team's corrections.

    Needs `GAZELOOP_CVAT_URL` (its address), `GAZELOOP_CVAT_TOKEN` (a personal access token), and
    CVAT's own SDK: `pip install "gazeloop[cvat]"`.
    """


@app.command("push", epilog=example("cvat push --by family --category 'stop sign'"))
@with_option_groups
@done_by("services.cli.work.cvat")
def push(
    ctx: typer.Context,
    *,
    by: Annotated[UnitName, typer.Option("--by", help="One task for each of these.")] = "shortlist",
    needles: NeedleOptions,
) -> None:
    """Create tasks with images, ground truth and proposals for frames that have no task yet.

    An annotator confirms a proposal by clearing its attribute `proposal`, rejects it by deleting
    the box, and then sets the job's state to completed.
    """


@app.command("pull", epilog=example("cvat pull", "cvat pull --every 600"))
@done_by("services.cli.work.cvat")
def pull(
    ctx: typer.Context,
    *,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            min=1,
            metavar="SECONDS",
            help="Pull repeatedly at this interval (longer if a pull is slow) until Ctrl-C;"
            " log JSON.",
        ),
    ] = None,
) -> None:
    """Publish finished jobs as the next ground truth of their frames, with the annotators."""
