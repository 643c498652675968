"""`gazeloop topics`: create and alter the topics of a Kafka cluster, and print its ACLs."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

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
@done_by("services.cli.work.topics")
def create(ctx: typer.Context, kafka: _Servers = "") -> None:
    """Create missing topics; never change existing ones.

    Partitions, replicas and retention come from the settings `topic_partitions`,
    `topic_replication` and `topic_retention_days`; `topic_partitions_of` and
    `topic_retention_days_of` name single topics. Reports existing topics that differ.
    """


@app.command(
    "alter", epilog=example("--set topic_retention_days=14 topics alter --kafka broker-1:9092")
)
@done_by("services.cli.work.topics")
def alter(ctx: typer.Context, kafka: _Servers = "") -> None:
    """Give existing topics the retention, size limit and partitions of the settings.

    Partitions are only added: services read new ones within `metadata_max_age_s`, without a
    restart. Shorter retention deletes older events at once.
    """


@app.command("acls", epilog=example("topics acls --kafka broker-1:9092"))
@done_by("services.cli.work.topics")
def acls(ctx: typer.Context, kafka: _Servers = "") -> None:
    """Print the ACLs of each service's user, as `kafka-acls` commands.

    Connects to nothing. The users are `gazeloop-ingest`, `gazeloop-embedder`, …; each may read its
    service's inputs, in its own consumer group, and write its outputs. `gazeloop-operator`, for the
    people who run the cluster, may read everything and replay dead letters.
    """
