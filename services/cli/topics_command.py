"""`gazeloop topics`: create and alter the topics of a Kafka cluster, and print its ACLs."""

from typing import Annotated

import typer

from services.app.topic_access import OPERATOR, SCALER, commands
from services.cli.console import console
from services.cli.context import example, shared
from services.contracts.errors import InvalidSettings
from services.contracts.flow import WRITES
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import alter_topics, create_topics
from services.runtime.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Create or alter the topics of a real Kafka cluster.")


@app.callback()
def topics() -> None:
    """Create or alter the topics of a real Kafka cluster. The embedded stack has its own."""


_Servers = Annotated[
    str, typer.Option(metavar="HOST:PORT,…", help="The cluster; default: `GAZELOOP_KAFKA`.")
]


@app.command(
    "create",
    epilog=example("--set topic_partitions=24 topics create --kafka broker-1:9092,broker-2:9092"),
)
def create(ctx: typer.Context, kafka: _Servers = "") -> None:
    """Create missing topics; never change existing ones.

    Partitions, replicas and retention come from the settings `topic_partitions`,
    `topic_replication` and `topic_retention_days`; `topic_partitions_of` and
    `topic_retention_days_of` name single topics. Reports existing topics that differ.
    """
    report = create_topics(*_cluster(ctx, kafka))
    out = console()
    for name in report.created:
        out.print(f"created {name}", highlight=False)
    for difference in report.differences:
        out.print(f"[yellow]differs:[/] {difference}: {difference.remedy}", highlight=False)
    if not report.created:
        out.print("all topics exist")


@app.command(
    "alter", epilog=example("--set topic_retention_days=14 topics alter --kafka broker-1:9092")
)
def alter(ctx: typer.Context, kafka: _Servers = "") -> None:
    """Give existing topics the retention, size limit and partitions of the settings.

    Partitions are only added: services read new ones within `metadata_max_age_s`, without a
    restart. Shorter retention deletes older events at once.
    """
    alteration = alter_topics(*_cluster(ctx, kafka))
    out = console()
    for difference in alteration.altered:
        was = f"{difference.what} was {difference.actual}, is {difference.wanted}"
        out.print(f"altered {difference.topic}: {was}", highlight=False)
    for difference in alteration.left:
        out.print(f"[yellow]differs:[/] {difference}: {difference.remedy}", highlight=False)
    if not (alteration.altered or alteration.left):
        out.print("all topics are as the settings say")


def _cluster(ctx: typer.Context, kafka: str) -> tuple[BrokerAddress, Settings]:

    settings = shared(ctx).settings(**({"kafka": kafka} if kafka else {}))
    servers = kafka or settings.kafka
    if not servers:
        raise InvalidSettings("no cluster is named: give --kafka, or set GAZELOOP_KAFKA")
    settings = settings.model_copy(update={"kafka": servers})
    return BrokerAddress.of(settings), settings


@app.command("acls", epilog=example("topics acls --kafka broker-1:9092"))
def acls(ctx: typer.Context, kafka: _Servers = "") -> None:
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
