"""What any embedder's regions are worth here, and what they cost.

    python -m benchmarks.embedders squeezenet1_0 build/efficientnet-lite0.onnx
    python -m benchmarks.embedders --encoders crop -- dinov2-small.onnx my_package.vectors:factory

Takes what GAZELOOP_EMBEDDER takes, except vectors that come with events. The 230 street photos are
ranked as in region_ways, with which the figures compare.
"""

from argparse import ArgumentParser

from rich.console import Console

from benchmarks.region_ways import measured, table_of
from benchmarks.retrieval_data import trapedesveh
from services.embedder.models.choosing import embedder_of
from services.embedder.models.map_embedder import RegionEncoder
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings


def main() -> None:
    """Read the options, measure, print."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("embedders", nargs="+")
    parser.add_argument("--encoders", nargs="+", type=RegionEncoder, default=list(RegionEncoder))
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    configure_logs(level="WARNING")
    data = trapedesveh()
    table = table_of(data.name)
    for named in options.embedders:
        for encoder in options.encoders:
            embedder = embedder_of(Settings(embedder=named, region_encoder=encoder))
            cells = measured(data, embedder, range(options.seeds))
            table.add_row(f"{named}, {encoder}, {embedder.region_dimension} numbers", *cells)
    Console(width=max(Console().width, 150)).print(table)


if __name__ == "__main__":
    main()
