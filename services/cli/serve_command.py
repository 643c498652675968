"""`gazeloop up` and `gazeloop run`: run services until a signal stops them."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

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
    BRIDGE = "bridge"


@app.command("up", epilog=example("--data /srv/gl up", "--data /srv/gl --set http_port=9000 up"))
@done_by("services.cli.work.serve")
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


@app.command("run", epilog=example("run embedder"))
@done_by("services.cli.work.serve")
def run_service(
    ctx: typer.Context,
    service: Annotated[Service, typer.Argument(help="Which one.", show_default=False)],
) -> None:
    """Run one service in production, on the broker and stores that the settings name.

    Needs `GAZELOOP_KAFKA` and `GAZELOOP_MONGODB`; embedder and retriever also `GAZELOOP_QDRANT`;
    ingest, embedder, review and label_studio `GAZELOOP_BLOBS`; webhooks `GAZELOOP_WEBHOOKS`;
    label_studio `GAZELOOP_LABEL_STUDIO_URL`; bridge `GAZELOOP_BRIDGE_TOPIC`. Logs JSON lines to
    standard error; serves `/metrics` and `/healthz`; SIGTERM finishes the current batch. Replicas
    of a consuming service beyond the number of partitions stay idle.

    Two serve HTTP on `GAZELOOP_HTTP_PORT`: ingest the vehicles' API, at `/v1`; review the review
    page, at `/review`. They consume no topic, so any number of replicas shares the requests.
    """
