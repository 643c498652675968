"""`gazeloop tokens`: manage bearer tokens for HTTP clients."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def tokens() -> None:
    """Create, list, rotate and revoke bearer tokens of vehicles and people."""


@app.command(
    "create",
    epilog=example("tokens create vehicle:vehicle-7", "tokens create annotation:ada"),
)
@done_by("services.cli.work.tokens")
def create(
    ctx: typer.Context,
    scope: Annotated[
        str,
        typer.Argument(
            help="`vehicle:ID` may publish frames and predictions of that vehicle;"
            " `annotation:NAME` may publish ground truth, and logs that person in to the review"
            " page; `operator:NAME` may erase frames; `originals:NAME` may see images that others"
            " see redacted.",
            show_default=False,
        ),
    ],
    *,
    prefix: Annotated[
        str,
        typer.Option(
            metavar="PREFIX",
            help="Frames and drives of the vehicle have ids that begin with PREFIX and `:` or `/`."
            " Default: the vehicle's own id.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Create a token and print it once: only its hash is stored.

    Vehicles' id prefixes must not overlap: a prefix that equals, contains or is contained in that
    of another vehicle's valid token is refused.
    """


@app.command("list", epilog=example("tokens list"))
@done_by("services.cli.work.tokens")
def list_tokens(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the tokens' public ids, scopes, ages, last uses and states."""


@app.command("rotate", epilog=example("tokens rotate 0f3c9a1be2d47785 --grace-hours 48"))
@done_by("services.cli.work.tokens")
def rotate(
    ctx: typer.Context,
    token_id: Annotated[str, typer.Argument(help="As `tokens list` shows it.", show_default=False)],
    *,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long the old one stays valid, in hours.")
    ] = 24.0,
) -> None:
    """Create a token of the same scope and print it once; the old one expires later.

    Until then both are valid, so that its owner can switch. `tokens revoke` ends the old one at
    once, as does `--grace-hours 0`.
    """


@app.command("revoke", epilog=example("tokens revoke 0f3c9a1be2d47785"))
@done_by("services.cli.work.tokens")
def revoke(
    ctx: typer.Context,
    token_id: Annotated[str, typer.Argument(help="As `tokens list` shows it.", show_default=False)],
) -> None:
    """Revoke a token permanently."""
