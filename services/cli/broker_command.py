"""`gazeloop broker`: fetch the Apache Kafka that the embedded stack runs."""

import typer

from services.cli.console import console
from services.cli.context import example
from services.contracts.errors import MissingPart
from services.runtime.embedded.kafka import CLASS_ARCHIVE, find_java
from services.runtime.embedded.kafka_classes import archive_classes
from services.runtime.embedded.kafka_jars import KAFKA_VERSION, fetch_jars, find_jars

app = typer.Typer(no_args_is_help=True)


@app.callback()
def broker() -> None:
    """Fetch the Apache Kafka that the embedded stack runs, instead of a broker in memory."""


@app.command("fetch", epilog=example("broker fetch"))
def fetch() -> None:
    """Fetch Apache Kafka's jars, once; needs Java 17 or newer and Maven.

    Without them, the embedded stack runs a broker in memory, whose events are gone when it ends.
    """
    find_java()
    try:
        folder = find_jars()
    except MissingPart:
        with console(stderr=True).status(f"fetching Apache Kafka {KAFKA_VERSION} (44 MB)"):
            folder = fetch_jars()
    archive = folder / CLASS_ARCHIVE
    if not archive.exists():
        # Written by the broker itself, so that the next ones start in half the time.
        with console(stderr=True).status("archiving Kafka's classes"):
            archive_classes(archive)
    console().print(f"Apache Kafka {KAFKA_VERSION} in {folder}", highlight=False, soft_wrap=True)
