"""`gazeloop up` and `gazeloop run`: run services until a signal stops them."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from services.app.assembly import deployed, running, wanted_services
from services.app.parts import App
from services.cli.console import console
from services.cli.context import Context, example, run, shared
from services.cli.global_options import pairs
from services.cli.logs import log_to_file
from services.cli.memory_warning import warn_of_memory_broker
from services.runtime.observability.logs import configure_logs
from services.runtime.serving import until_signalled

app = typer.Typer()


class Service(StrEnum):
    """The services that `gazeloop run` can run."""

    INGEST = "ingest"
    EMBEDDER = "embedder"
    FP_MINER = "fp_miner"
    RETRIEVER = "retriever"
    EVALUATOR = "evaluator"
    REVIEW = "review"
    WEBHOOKS = "webhooks"
    LABEL_STUDIO = "label_studio"


@app.command("up", epilog=example("--data /srv/gl up", "--data /srv/gl --set http_port=9000 up"))
def up(
    ctx: typer.Context,
    *,
    fill: Annotated[
        list[str] | None,
        typer.Option(
            "--fill",
            metavar="NAME=VALUE",
            help="Also fill the vectors of the embedder with this setting (`embedder=resnet18`,"
            " `weights=FILE`, …), beside the live one's; repeat it for more.",
        ),
    ] = None,
) -> None:
    """Run the broker, the stores and all services on the data folder, until Ctrl-C.

    With Apache Kafka as the broker, a restart loses nothing. Meanwhile, use `gazeloop ingest`,
    `report`, `status`, `models` and `tokens` in another terminal, with the same `--data`.
    """
    context = shared(ctx)
    other = pairs(fill or [], "--fill")
    run(lambda: _up(context, other), interrupted="Start it again with `gazeloop up`.")


@app.command("run", epilog=example("run embedder"))
def run_service(
    ctx: typer.Context,
    service: Annotated[Service, typer.Argument(help="Which one.", show_default=False)],
) -> None:
    """Run one service in production, on the broker and stores that the settings name.

    Needs `GAZELOOP_KAFKA` and `GAZELOOP_MONGODB`; embedder and retriever also `GAZELOOP_QDRANT`;
    ingest, embedder, review and label_studio `GAZELOOP_BLOBS`; webhooks `GAZELOOP_WEBHOOKS`;
    label_studio `GAZELOOP_LABEL_STUDIO_URL`. Logs JSON lines to standard error; serves `/metrics`
    and `/healthz`; SIGTERM finishes the current batch. Replicas of a consuming service beyond the
    number of partitions stay idle.

    Two serve HTTP on `GAZELOOP_HTTP_PORT`: ingest the vehicles' API, at `/v1`; review the review
    page, at `/review`. They consume no topic, so any number of replicas shares the requests.
    """
    context = shared(ctx)
    run(lambda: _run_service(context, service), interrupted="The service ended.")


async def _up(context: Context, fill: Mapping[str, str]) -> None:

    settings = context.settings()
    fill_settings = replace(context, given={**context.given, **fill}).settings() if fill else None
    out = console()
    log_to_file(settings, "gazeloop")
    out.print(f"starting on {settings.data}", highlight=False)
    async with running(settings, wanted_services(settings), fill_settings=fill_settings) as app:
        warn_of_memory_broker(out, app.settings)
        print_addresses(out, app)
        await until_signalled()
        out.print("stopping", highlight=False)


async def _run_service(context: Context, service: Service) -> None:

    settings = context.settings()
    configure_logs(level=settings.log_level)
    async with deployed(settings, service):
        await until_signalled()


def print_addresses(out: Console, app: App) -> None:
    """Print the addresses for people, vehicles and Prometheus."""
    for name, address in app.addresses.items():
        out.print(f"  {name:<12} {address}", highlight=False, soft_wrap=True)
    if "review" in app.addresses:
        made = f"gazeloop --data {app.settings.data} tokens create annotation:NAME"
        out.print(f"For the review page, `{made}` makes a token.", highlight=False, soft_wrap=True)
    out.print("Ctrl-C stops it.", highlight=False)
