"""`gazeloop label-studio`: push shortlists as Label Studio tasks, and pull corrections."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def label_studio() -> None:
    """Push shortlists as tasks, and pull what annotators submit.

    Needs `GAZELOOP_LABEL_STUDIO_URL` and `GAZELOOP_LABEL_STUDIO_TOKEN` (preferably as files in
    `GAZELOOP_SECRETS_DIR`). With both set, `gazeloop up` (in production `gazeloop run
    label_studio`) does all of this automatically.
    """


@app.command("setup", epilog=example("label-studio setup"))
@done_by("services.cli.work.label_studio")
def setup(ctx: typer.Context) -> None:
    """Find or create the project, add Gazeloop's categories to it, and register the webhook."""


@app.command("push", epilog=example("label-studio push", "label-studio push --again"))
@done_by("services.cli.work.label_studio")
def push(
    ctx: typer.Context,
    *,
    again: bool = typer.Option(
        False, "--again", help="Include frames whose task was deleted in Label Studio."
    ),
) -> None:
    """Create and update the project's tasks to match the shortlists."""


@app.command("pull", epilog=example("label-studio pull"))
@done_by("services.cli.work.label_studio")
def pull(ctx: typer.Context) -> None:
    """Publish annotations submitted since the last pull as ground truth."""


@app.command("sync", epilog=example("label-studio sync"))
@done_by("services.cli.work.label_studio")
def sync(ctx: typer.Context) -> None:
    """Pull, then push."""


@app.command("status", epilog=example("label-studio status", "label-studio status --json"))
@done_by("services.cli.work.label_studio")
def status(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count tasks by state: waiting, open, answered, refused, withdrawn or deleted."""
