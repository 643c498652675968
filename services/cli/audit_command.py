"""`gazeloop audit`: who did what, when, on which data."""

from datetime import datetime
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command("audit", epilog=example("audit --since 2026-05-01", "audit --json > audit.jsonl"))
@done_by("services.cli.work.audit")
def audit(
    ctx: typer.Context,
    *,
    since: Annotated[
        datetime | None,
        typer.Option(help="Print acts from this time on, in UTC.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Print who erased, exported, changed tokens and decided about needles, oldest first.

    Records are only ever added. Acts from the command line name the account on that machine; acts
    by HTTP and on the review page name the token's person. Verdicts on erased frames are gone.
    """
