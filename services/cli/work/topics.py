"""What `gazeloop topics` does."""

import typer

from services.app.topic_access import OPERATOR, SCALER, commands, source_commands
from services.cli.console import console, styled
from services.cli.context import shared
from services.contracts.errors import InvalidSettings
from services.contracts.flow import WRITES
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import alter_topics, create_topics
from services.runtime.settings import Settings

_DIFFERS = "[yellow]differs:[/] {}: {}"


def create(ctx: typer.Context, kafka: str) -> None:
    """Run `gazeloop topics create`."""
    report = create_topics(*_cluster(ctx, kafka))
    out = console()
    for name in report.created:
        out.print(f"created {name}", highlight=False)
    for difference in report.differences:
        out.print(styled(_DIFFERS, difference, difference.remedy))
    if not report.created:
        out.print("all topics exist")


def alter(ctx: typer.Context, kafka: str) -> None:
    """Run `gazeloop topics alter`."""
    alteration = alter_topics(*_cluster(ctx, kafka))
    out = console()
    for difference in alteration.altered:
        was = f"{difference.what} was {difference.actual}, is {difference.wanted}"
        out.print(f"altered {difference.topic}: {was}", highlight=False)
    for difference in alteration.left:
        out.print(styled(_DIFFERS, difference, difference.remedy))
    if not (alteration.altered or alteration.left):
        out.print("all topics are as the settings say")


def _cluster(ctx: typer.Context, kafka: str) -> tuple[BrokerAddress, Settings]:
    settings = shared(ctx).settings(**({"kafka": kafka} if kafka else {}))
    servers = kafka or settings.kafka
    if not servers:
        raise InvalidSettings("no cluster is named: give --kafka, or set GAZELOOP_KAFKA")
    settings = settings.model_copy(update={"kafka": servers})
    return BrokerAddress.of(settings), settings


def acls(ctx: typer.Context, kafka: str) -> None:
    """Run `gazeloop topics acls`."""
    settings = shared(ctx).settings()
    servers = kafka or settings.kafka or "HOST:PORT"
    for service in (*WRITES, SCALER, OPERATOR):
        topic = "" if settings.bridge_kafka else settings.bridge_topic
        for command in commands(service, servers, topic):
            # Plain print, because the console would wrap lines that are to be piped.
            typer.echo(command)
    if settings.bridge_kafka:
        for command in source_commands(settings):
            typer.echo(command)
