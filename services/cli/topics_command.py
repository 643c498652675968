"""`gazeloop topics`: create the topics and ACLs of a Kafka cluster."""

from typing import Annotated

import typer

from services.app.topic_access import OPERATOR, SCALER, commands
from services.cli.console import console
from services.cli.context import example, shared
from services.contracts.errors import InvalidSettings
from services.contracts.flow import WRITES
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import create_topics

app = typer.Typer(no_args_is_help=True, help="Create the topics of a real Kafka cluster.")


@app.callback()
def topics() -> None:
    """Create the topics of a real Kafka cluster. The embedded stack creates its own."""


@app.command(
    "create",
    epilog=example("--set topic_partitions=24 topics create --kafka broker-1:9092,broker-2:9092"),
)
def create(
    ctx: typer.Context,
    kafka: Annotated[
        str, typer.Option(metavar="HOST:PORT,…", help="The cluster; default: `GAZELOOP_KAFKA`.")
    ] = "",
) -> None:
    """Create missing topics; never change existing ones.

    Partitions and replicas come from the settings `topic_partitions` and `topic_replication`.
    Reports existing topics that differ from what Gazeloop would create.
    """
    settings = shared(ctx).settings(**({"kafka": kafka} if kafka else {}))
    servers = kafka or settings.kafka
    if not servers:
        raise InvalidSettings("no cluster is named: give --kafka, or set GAZELOOP_KAFKA")
    settings = settings.model_copy(update={"kafka": servers})
    report = create_topics(BrokerAddress.of(settings), settings)
    out = console()
    for name in report.created:
        out.print(f"created {name}", highlight=False)
    for sentence in report.differences:
        out.print(f"[yellow]differs:[/] {sentence}", highlight=False)
    if not report.created:
        out.print("all topics exist")


@app.command("acls", epilog=example("topics acls --kafka broker-1:9092"))
def acls(
    ctx: typer.Context,
    kafka: Annotated[
        str, typer.Option(metavar="HOST:PORT,…", help="The cluster; default: `GAZELOOP_KAFKA`.")
    ] = "",
) -> None:
    """Print the ACLs of each service's user, as `kafka-acls` commands.

    Connects to nothing. The users are `gazeloop-ingest`, `gazeloop-embedder`, …; each may read its
    service's inputs, in its own consumer group, and write its outputs. `gazeloop-operator`, for the
    people who run the cluster, may read everything and replay dead letters.
    """
    servers = kafka or shared(ctx).settings().kafka or "HOST:PORT"
    for service in (*WRITES, SCALER, OPERATOR):
        for command in commands(service, servers):
            # Plain print, because the console would wrap lines that are to be piped.
            typer.echo(command)
