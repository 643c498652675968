"""`gazeloop broker`: fetch the Apache Kafka that the embedded stack runs."""

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def broker() -> None:
    """Fetch the Apache Kafka that the embedded stack runs, instead of a broker in memory."""


@app.command("fetch", epilog=example("broker fetch"))
@done_by("services.cli.work.broker")
def fetch() -> None:
    """Fetch Apache Kafka's jars, once; needs Java 17 or newer and Maven.

    Without them, the embedded stack runs a broker in memory, whose events are gone when it ends.
    """
