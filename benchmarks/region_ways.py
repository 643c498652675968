"""What a region's vector is worth, and what it costs, by the way that it is made.

    python -m benchmarks.region_ways
    python -m benchmarks.region_ways --backbones squeezenet1_0 --seeds 20

The shipped networks, each on what it is for, as in retrieval_quality: ten frames per needle, a
quarter of the units reference. Core-milliseconds, which other work on the machine changes little,
are of a frame with twenty boxes, without its decoding. Vectors are kept in build/retrieval.
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from benchmarks.retrieval_data import DataSet, embedded, survey, trapedesveh
from benchmarks.retrieval_plans import Split
from benchmarks.retrieval_quality import shares
from benchmarks.retrieval_rankings import LEARNT, Ranking, contrast, similarity
from services.embedder.embedder import Embedder
from services.embedder.models.forward_choice import forward_of
from services.embedder.models.map_embedder import RegionEncoder
from services.embedder.models.network import Head, Network, load_network
from services.embedder.models.pooling import Pooling
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

_RANKINGS: Mapping[str, Ranking] = {
    "nearest": similarity("crop", centred=False),
    "contrast": contrast("crop", 0.0),
    "learnt": LEARNT,
}
_BOXES = 20
_FRAMES = 16
_ROUNDS = 3
_FINER = 11
"""SqueezeNet's layers in front of its last pooling: a map of eight pixels a cell, not sixteen."""
_CELLS = (3, 7)
DATA = {"squeezenet1_0": trapedesveh, "gazeloop-small": survey}


@dataclass(frozen=True)
class Way:
    """One way to a region's vector.

    Attributes
    ----------
    side : pixels of a crop's sides, or of a frame's longer side
    layers : of the network, where not all; the map is finer then
    cells : of RoIAlign per side, one after another; none for their mean
    """

    encoder: RegionEncoder
    side: int
    layers: int | None = None
    cells: int | None = None

    @property
    def title(self) -> str:
        """As it stands in the table."""
        if self.encoder is RegionEncoder.CROP:
            return f"crops of {self.side} px"
        finer = "" if self.layers is None else ", finer map"
        cells = "" if self.cells is None else f", {self.cells} x {self.cells} cells"
        return f"RoIAlign, frames of {self.side} px{finer}{cells}"

    def of(self, network: Network) -> Network:
        """The network, looking in this way."""
        features = network.features
        if self.layers is not None:
            features = nn.Sequential(*list(features.children())[: self.layers])
        if self.encoder is RegionEncoder.CROP:
            backbone = replace(network.backbone, crop_side=self.side)
        else:
            backbone = replace(network.backbone, frame_side=self.side)
        if self.layers is not None:
            backbone = replace(backbone, tap=f"{backbone.tap}.{self.layers}")
        network = replace(network, backbone=backbone, features=features)
        if self.cells is None:
            return network
        return replace(network, head=_Cells(network, self.cells))


class _Cells(Head):
    """A region's cells one after another, which keeps where in the region something is."""

    def __init__(self, network: Network, cells: int) -> None:
        super().__init__(network.backbone, network.features, Pooling.AVERAGE, None)
        self.grid = cells
        self.averages = False
        self.dimension = network.backbone.channels * cells**2

    def pooled(self, mapped: Tensor) -> Tensor:
        """(N, C, H, W) to (N, cells * cells * C)."""
        return adaptive_avg_pool2d(mapped, self.grid).flatten(1)


def _ways(name: str) -> Iterator[Way]:
    small = name == "gazeloop-small"
    for side in (32, 48, 64) if small else (64, 80, 112):
        yield Way(RegionEncoder.CROP, side)
    for side in (192, 384, 640) if small else (384, 640, 960):
        yield Way(RegionEncoder.ROI, side)
    for cells in _CELLS:
        yield Way(RegionEncoder.ROI, 640, cells=cells)
    if not small:
        yield Way(RegionEncoder.ROI, 384, _FINER)


def measured(data: DataSet, embedder: Embedder, seeds: range) -> list[str]:
    """The cells of a row: yield and same mode by each ranking, and core-milliseconds a frame."""
    vectors = embedded(data.name, data.looked, embedder)
    worth = _worth(replace(data, vectors={"crop": vectors}), seeds)
    cells = [f"{wrong:.3f} / {alike:.3f}" for wrong, alike in worth]
    return [*cells, f"{_frame_ms(data, embedder):.0f}"]


def table_of(title: str) -> Table:
    """The table to which `measured` gives a row's cells, behind its name."""
    table = Table(title=f"{title}: yield / same mode")
    for heading in ("regions", *_RANKINGS, "core-ms a frame"):
        table.add_column(heading, justify="left" if heading == "regions" else "right")
    return table


def _frame_ms(data: DataSet, embedder: Embedder) -> float:
    images = [Image.open(picture.path).convert("RGB") for picture in data.looked[:_FRAMES]]
    random = np.random.default_rng(0)
    corners, sides = random.uniform(0, 400, (_BOXES, 2)), random.uniform(20, 200, (_BOXES, 2))
    boxes = np.concatenate([corners, sides], axis=1)
    embedder.embed(images[:2], [boxes] * 2)
    taken = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        embedder.embed(images, [boxes] * len(images))
        taken.append(time.process_time() - started)
    return 1000 * min(taken) / len(images)


def _embedders(name: str) -> Iterator[tuple[str, Embedder]]:
    settings = Settings(embedder=name)
    network = load_network(settings)
    for way in _ways(name):
        looking = way.of(network)
        yield way.title, TorchEmbedder(looking, way.encoder, forward_of(looking, settings))


def _worth(data: DataSet, seeds: range) -> Iterator[tuple[float, float]]:
    for ranking in _RANKINGS.values():
        found = np.mean(
            [shares(data, ranking, Split.of(data, seed), 0.0) for seed in seeds], axis=0
        )
        yield float(found[0]), float(found[1])


def main() -> None:
    """Read the options, measure, print."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=["squeezenet1_0", "gazeloop-small"])
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    configure_logs(level="WARNING")
    out = Console(width=max(Console().width, 150))
    for name in options.backbones:
        data = DATA[name]()
        table = table_of(f"{name}, {data.name}")
        for title, embedder in _embedders(name):
            table.add_row(title, *measured(data, embedder, range(options.seeds)))
        out.print(table)


if __name__ == "__main__":
    main()
