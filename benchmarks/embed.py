"""Images per second, from JPEG to vector, beside plain torchvision and, where installed, FiftyOne.

    python -m benchmarks.embed
    python -m benchmarks.embed --models resnet18 resnet50 --frames 48

All see the same drawn frames of 1920 x 1080 at the same size, with the same untrained weights; 8
bits are calibrated on other drawn frames. One row is the whole way; the split is measured apart,
one step after the other, in milliseconds of the clock and of all cores together. Rounds take turns,
and the best one counts: what disturbs a shared machine only ever adds.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torchvision.models
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from torchvision.transforms import v2

from services.contracts.errors import UnfitInt8
from services.domain.arrays import Vectors
from services.embedder.models import crops, normalising
from services.embedder.models.backbones import backbone_named
from services.embedder.models.forward import Forward
from services.embedder.models.forward_choice import forward_of
from services.embedder.models.map_embedder import Decoding, RegionEncoder
from services.embedder.models.network import Network, load_network
from services.embedder.models.openvino_forward import OpenVinoForward
from services.embedder.models.precision import Precision
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.training.quantising import quantised
from services.runtime.images import ImageLimits, decode_scaled
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

_SIZE = (1920, 1080)
_QUALITY = 92
_BATCH = 16
_BOXES = 20
_DECODE, _PREPARE, _PASS = range(3)
_OTHERS, _CALIBRATED_ON = 1000, 32
"""Numbers from which on, and how many, drawn frames are calibrated on."""
_LIMITS = ImageLimits.of(Settings())
T = TypeVar("T")


def passes(items: Sequence[T]) -> list[Sequence[T]]:
    """In order, as many at once as the embedder takes."""
    return [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]


class Run(NamedTuple):
    """One way over all frames.

    Attributes
    ----------
    vectors : a row per frame
    steps_s : (3, 2), seconds a frame that decoding, preparing and the pass take, by the clock and
        of all cores
    """

    vectors: Vectors
    steps_s: NDArray[np.float64]


class Steps:
    """How long each step takes, all frames together."""

    def __init__(self) -> None:
        self.taken_s = np.zeros((3, 2))

    @contextmanager
    def step(self, place: int) -> Iterator[None]:
        """Count what is done meanwhile to this step."""
        before = np.array([time.perf_counter(), time.process_time()])
        yield
        after = np.array([time.perf_counter(), time.process_time()])
        self.taken_s[place] += after - before


class TimedForward:
    """A forward that counts what it takes as a pass, and not as preparing, which is around it."""

    def __init__(self, forward: Forward) -> None:
        self.device: torch.device = forward.device
        self.precision: Precision = forward.precision
        self.calibrated: str = forward.calibrated
        self.steps = Steps()
        self._forward = forward

    def __call__(self, pixels: crops.Pixels) -> torch.Tensor:
        """The forward's own."""
        with self.steps.step(_PASS):
            return self._forward(pixels)


def drawn(number: int) -> bytes:
    """A frame's JPEG with detail at every scale, of some 600 kB."""
    random = np.random.default_rng(number)
    picture = np.zeros((_SIZE[1], _SIZE[0], 3), np.float32)
    for cells, strength in ((6, 90), (40, 60), (240, 26), (960, 16)):
        coarse = random.uniform(0, 255, (cells * 9 // 16 + 1, cells, 3)).astype(np.uint8)
        scaled = Image.fromarray(coarse).resize(_SIZE, Image.Resampling.BICUBIC)
        picture += (np.asarray(scaled, np.float32) - 127) * (strength / 127)
    file = io.BytesIO()
    pixels = (picture + 127).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


class Plain:
    """torchvision as its documentation uses it: decode, resize, normalise, pass, average."""

    def __init__(self, name: str, model: nn.Module) -> None:
        backbone = backbone_named(name)
        self._features = backbone.features(model).eval()
        width, height = crops.scaled_size(*_SIZE, backbone.frame_side, backbone.least_side)
        self._transform = v2.Compose(
            [
                v2.PILToTensor(),
                v2.Resize((height, width), antialias=True),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(normalising.MEAN, normalising.DEVIATION),
            ]
        )

    @torch.inference_mode()
    def run(self, files: Sequence[bytes]) -> Run:
        """All frames, step by step."""
        found, steps = [], Steps()
        for batch in passes(files):
            with steps.step(_DECODE):
                pictures = [Image.open(io.BytesIO(item)).convert("RGB") for item in batch]
            with steps.step(_PREPARE):
                pixels = torch.stack([self._transform(picture) for picture in pictures])
            with steps.step(_PASS):
                found.append(self._features(pixels).mean(dim=(2, 3)).numpy())
        return Run(np.concatenate(found), steps.taken_s / len(files))


class Gazeloop:
    """The embedder as its service drives it: the next pass is decoded while one is embedded."""

    def __init__(self, network: Network, forward: Forward, settings: Settings) -> None:
        self._forward = TimedForward(forward)
        self._embedder = TorchEmbedder(
            network, RegionEncoder.ROI, self._forward, Decoding(settings.embed_decode)
        )
        self._threads = ThreadPoolExecutor(settings.torch_threads)

    def _decode(self, content: bytes) -> Image.Image:
        return decode_scaled(content, _LIMITS, self._embedder.decoded_side).picture

    def vectors(self, files: Sequence[bytes], boxes: int = 0) -> Vectors:
        """The whole way, with so many boxes on each frame."""
        where = np.random.default_rng(0).uniform(20, 400, (boxes, 4))
        found = []
        parted = passes(files)
        ahead = [self._threads.submit(self._decode, item) for item in parted[0]]
        for batch, following in pairwise([*parted, []]):
            pictures = [future.result() for future in ahead]
            ahead = [self._threads.submit(self._decode, item) for item in following]
            embedded = self._embedder.embed(pictures, [where] * len(batch))
            found += [frame_vectors.frame for frame_vectors in embedded]
        return np.stack(found)

    def run(self, files: Sequence[bytes]) -> Run:
        """All frames, step by step; what is not the pass itself prepares it."""
        self._forward.steps = steps = Steps()
        nothing = np.empty((0, 4))
        with steps.step(_DECODE):
            pictures = [self._decode(file) for file in files]
        with steps.step(_PREPARE):
            found = [
                vectors.frame
                for batch in passes(pictures)
                for vectors in self._embedder.embed(batch, [nothing] * len(batch))
            ]
        steps.taken_s[_PREPARE] -= steps.taken_s[_PASS]
        return Run(np.stack(found), steps.taken_s / len(files))


def in_8_bits(network: Network, settings: Settings) -> Forward:
    """The network, calibrated on drawn frames that nothing is measured on."""
    backbone = network.backbone
    size = crops.scaled_size(*_SIZE, backbone.frame_side, backbone.least_side)
    others = (Image.open(io.BytesIO(drawn(_OTHERS + place))) for place in range(_CALIBRATED_ON))
    made = quantised(network, [crops.scale(other, size)[None] for other in others])
    return OpenVinoForward(
        made.model(UnfitInt8), Precision.INT8, settings.torch_threads, made.sha256
    )


def fiftyone_way(name: str, folder: Path) -> Callable[[], object] | None:
    """FiftyOne's `compute_embeddings` on the same files; none where it is not installed."""
    try:
        import fiftyone as fo  # noqa: PLC0415  # a peer that few have
        import fiftyone.zoo as foz  # noqa: PLC0415
    except ImportError:
        return None
    data = fo.Dataset.from_images_dir(str(folder))
    model = foz.load_zoo_model(f"{name}-imagenet-torch")
    return lambda: data.compute_embeddings(model, batch_size=_BATCH, num_workers=2)


def best_s(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each way's fastest round; the ways take turns."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in track(range(rounds), "rounds", transient=True):
        for name, item in work.items():
            started = time.perf_counter()
            item()
            taken[name].append(time.perf_counter() - started)
    return {name: min(item) for name, item in taken.items()}


def quickest(run: Callable[[Sequence[bytes]], Run], files: Sequence[bytes], rounds: int) -> Run:
    """The vectors, and each step's least time of all rounds."""
    runs = [run(files) for _ in range(rounds)]
    return Run(runs[0].vectors, np.min([item.steps_s for item in runs], axis=0))


def cosine(first: Vectors, second: Vectors) -> float:
    """The least cosine of two frames' vectors, row by row."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / norms).min())


def measured(name: str, files: Sequence[bytes], rounds: int, folder: Path) -> Table:
    """One backbone, every way."""
    model = torchvision.models.get_model(name, weights=None).eval()
    weights = folder / f"{name}.pth"
    torch.save(model.state_dict(), weights)
    plain = Plain(name, model)
    asked = {"embedder": name, "weights": weights, "region_encoder": "roi", "pooling": "average"}
    ways: dict[str, dict[str, str]] = {
        "gazeloop, torch, full decode": {"embed_runtime": "torch", "embed_decode": "full"},
        "gazeloop": {},
        "gazeloop, bf16": {"embed_precision": "bf16"},
    }
    if torch.cuda.is_available():
        ways["gazeloop, CPU"] = {"embed_runtime": "openvino"}
    made: dict[str, Callable[[Network, Settings], Forward]] = dict.fromkeys(ways, forward_of)
    ways["gazeloop, int8"], made["gazeloop, int8"] = {}, in_8_bits
    gazeloop = {}
    for way, given in ways.items():
        settings = Settings.model_validate(asked | given)
        network = load_network(settings)  # each its own: a head moves to its forward's device
        gazeloop[way] = Gazeloop(network, made[way](network, settings), settings)
    work: dict[str, Callable[[], object]] = {"plain torchvision": lambda: plain.run(files)}
    for way, item in gazeloop.items():
        work[way] = partial(item.vectors, files)
    boxed = f"gazeloop, and {_BOXES} boxes"
    work[boxed] = lambda: gazeloop["gazeloop"].vectors(files, _BOXES)
    peer = fiftyone_way(name, folder / "frames")
    if peer is not None:
        work["FiftyOne"] = peer
    steps = {"plain torchvision": quickest(plain.run, files, rounds)} | {
        way: quickest(item.run, files, rounds) for way, item in gazeloop.items()
    }
    return table(name, best_s(work, rounds), steps, len(files))


def with_sum(run: Run) -> NDArray[np.float64]:
    """(4, 2): the steps, and all of them together."""
    return np.vstack([run.steps_s, run.steps_s.sum(axis=0)])


def table(name: str, taken: Mapping[str, float], steps: Mapping[str, Run], frames: int) -> Table:
    """A row per way; the split is milliseconds of the clock / of all cores."""
    shown = Table(title=name)
    split_of = ("decode", "prepare", "pass", "sum")
    for head in ("way", "images/s", "x plain", "cosine", *split_of, "x plain's sum"):
        shown.add_column(head, justify="left" if head == "way" else "right")
    plain = "plain torchvision"
    for way, seconds in taken.items():
        step = steps.get(way)
        split = (
            [""] * 6
            if step is None
            else [
                f"{cosine(step.vectors, steps[plain].vectors):.5f}",
                *(f"{clock:.1f} / {cores:.1f}" for clock, cores in 1000 * with_sum(step)),
                f"{with_sum(steps[plain])[-1, 1] / with_sum(step)[-1, 1]:.2f}",
            ]
        )
        ratio = taken[plain] / seconds
        shown.add_row(way, f"{frames / seconds:.1f}", f"{ratio:.2f}", *split)
    return shown


def main(arguments: Iterable[str] | None = None) -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    configure_logs(level="WARNING")
    out = Console(width=max(Console().width, 160))
    files = [drawn(number) for number in range(options.frames)]
    torch.set_num_threads(Settings().torch_threads)
    size = sum(map(len, files)) / len(files) / 1000
    load = os.getloadavg()[0]
    out.print(f"{len(files)} JPEGs of 1920 x 1080, {size:.0f} kB each; load at start {load:.1f}")
    if not torch.cuda.is_available():
        out.print("no GPU here: its way was not run")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "frames").mkdir()
        for number, file in enumerate(files):
            (folder / "frames" / f"{number}.jpg").write_bytes(file)
        for model in options.models:
            out.print(measured(model, files, options.rounds, folder))
    out.print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
