"""`gazeloop questions`: list held corrections, and answer their questions."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def questions() -> None:
    """Answer the questions of held corrections: unknown labels, annotators who disagree."""


@app.command("list", epilog=example("questions list"))
@done_by("services.cli.work.questions")
def list_questions(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List held corrections, oldest first."""


@app.command(
    "label",
    epilog=example(
        'questions label "trafic sign" --same "stop sign"', "questions label kiosk --new"
    ),
)
@done_by("services.cli.work.questions")
def label(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The unknown label.", show_default=False)],
    *,
    same: Annotated[
        str, typer.Option("--same", metavar="CATEGORY", help="The label means this category.")
    ] = "",
    new: Annotated[bool, typer.Option("--new", help="The label is a new category.")] = False,
    nothing: Annotated[
        bool, typer.Option("--nothing", help="The label is irrelevant; its boxes are dropped.")
    ] = False,
) -> None:
    """Define what a label means, for all corrections; the latest answer counts."""


@app.command("choose", epilog=example("questions choose 3f9a 2", "questions choose 3f9a 0"))
@done_by("services.cli.work.questions")
def choose(
    ctx: typer.Context,
    held: Annotated[
        str, typer.Argument(help="The correction's id, or its beginning.", show_default=False)
    ],
    version: Annotated[
        int, typer.Argument(min=0, help="Which version counts; 0: none.", show_default=False)
    ],
) -> None:
    """Choose which annotator is right, or whether an outdated correction counts anyway."""
