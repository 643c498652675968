"""Images per second, from JPEG to vector, beside plain torchvision and, where installed, FiftyOne.

    python -m benchmarks.embed
    python -m benchmarks.embed --models resnet18 resnet50 --frames 48

All see the same drawn frames of 1920 x 1080 at the same size, with the same untrained weights. One
row is the whole way; the split is measured apart, one step after the other. Rounds take turns, and
the best one counts: what disturbs a shared machine only ever adds.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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

from services.embedder import crops
from services.embedder.backbones import backbone_named
from services.embedder.torch_embedder import TorchEmbedder
from services.runtime.images import ImageLimits, decode_scaled
from services.runtime.logs import configure_logs
from services.runtime.settings import Settings

_SIZE = (1920, 1080)
_QUALITY = 92
_BATCH = 16
_BOXES = 20
_LIMITS = ImageLimits.of(Settings())

Vectors = NDArray[np.float32]
T = TypeVar("T")


def passes(each: Sequence[T]) -> list[Sequence[T]]:
    """In order, as many at once as the embedder takes."""
    return [each[start : start + _BATCH] for start in range(0, len(each), _BATCH)]


class Run(NamedTuple):
    """One way over all frames: its vectors, and what each step took, in seconds a frame."""

    vectors: Vectors
    decode_s: float
    preprocess_s: float
    forward_s: float


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
                v2.Normalize(crops.MEAN, crops.DEVIATION),
            ]
        )

    @torch.inference_mode()
    def run(self, files: Sequence[bytes]) -> Run:
        """All frames, step by step."""
        found, times = [], np.zeros(3)
        for some in passes(files):
            at = [time.perf_counter()]
            pictures = [Image.open(io.BytesIO(each)).convert("RGB") for each in some]
            at.append(time.perf_counter())
            pixels = torch.stack([self._transform(each) for each in pictures])
            at.append(time.perf_counter())
            found.append(self._features(pixels).mean(dim=(2, 3)).numpy())
            at.append(time.perf_counter())
            times += [after - before for before, after in pairwise(at)]
        return Run(np.concatenate(found), *(times / len(files)).tolist())


class Ours:
    """The embedder as its service drives it: the next pass is decoded while one is embedded."""

    def __init__(self, settings: Settings) -> None:
        self._embedder = TorchEmbedder.of(settings)
        self._threads = ThreadPoolExecutor(settings.torch_threads)

    def _decode(self, content: bytes) -> Image.Image:
        return decode_scaled(content, _LIMITS, self._embedder.decoded_side).picture

    def vectors(self, files: Sequence[bytes], boxes: int = 0) -> Vectors:
        """The whole way, with so many boxes on each frame."""
        where = np.random.default_rng(0).uniform(20, 400, (boxes, 4))
        found = []
        parted = passes(files)
        ahead = [self._threads.submit(self._decode, each) for each in parted[0]]
        for some, following in pairwise([*parted, []]):
            pictures = [each.result() for each in ahead]
            ahead = [self._threads.submit(self._decode, each) for each in following]
            embedded = self._embedder.embed(pictures, [where] * len(some))
            found += [each.frame for each in embedded]
        return np.stack(found)

    def run(self, files: Sequence[bytes]) -> Run:
        """All frames, step by step; scaling is part of the pass."""
        started = time.perf_counter()
        pictures = [self._decode(each) for each in files]
        decoded = time.perf_counter()
        nothing = np.empty((0, 4))
        found = [
            vectors.frame
            for some in passes(pictures)
            for vectors in self._embedder.embed(some, [nothing] * len(some))
        ]
        ended = time.perf_counter()
        count = len(files)
        return Run(np.stack(found), (decoded - started) / count, 0.0, (ended - decoded) / count)


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
        for name, each in work.items():
            started = time.perf_counter()
            each()
            taken[name].append(time.perf_counter() - started)
    return {name: min(each) for name, each in taken.items()}


def cosine(some: Vectors, others: Vectors) -> float:
    """The least cosine of two frames' vectors, row by row."""
    norms = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    return float(((some * others).sum(axis=1) / norms).min())


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
    ours = {way: Ours(Settings.model_validate(asked | given)) for way, given in ways.items()}
    work: dict[str, Callable[[], object]] = {"plain torchvision": lambda: plain.run(files)}
    for way, each in ours.items():
        work[way] = lambda each=each: each.vectors(files)
    boxed = f"gazeloop, and {_BOXES} boxes"
    work[boxed] = lambda: ours["gazeloop"].vectors(files, _BOXES)
    peer = fiftyone_way(name, folder / "frames")
    if peer is not None:
        work["FiftyOne"] = peer
    steps = {"plain torchvision": plain.run(files)} | {
        way: each.run(files) for way, each in ours.items()
    }
    return table(name, best_s(work, rounds), steps, len(files))


def table(name: str, taken: Mapping[str, float], steps: Mapping[str, Run], frames: int) -> Table:
    """A row per way."""
    shown = Table(title=name)
    for head in ("way", "images/s", "x plain", "cosine to plain", "decode ms", "prepare", "pass"):
        shown.add_column(head, justify="left" if head == "way" else "right")
    plain = "plain torchvision"
    for way, seconds in taken.items():
        step = steps.get(way)
        split = (
            ("", "", "", "")
            if step is None
            else (
                f"{cosine(step.vectors, steps[plain].vectors):.5f}",
                *(f"{1000 * each:.1f}" for each in step[1:]),
            )
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
    out = Console(width=max(Console().width, 110))
    files = [drawn(number) for number in range(options.frames)]
    torch.set_num_threads(Settings().torch_threads)
    size = sum(map(len, files)) / len(files) / 1000
    out.print(f"{len(files)} JPEGs of 1920 x 1080, {size:.0f} kB each")
    if not torch.cuda.is_available():
        out.print("no GPU here: its way was not run")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "frames").mkdir()
        for number, each in enumerate(files):
            (folder / "frames" / f"{number}.jpg").write_bytes(each)
        for model in options.models:
            out.print(measured(model, files, options.rounds, folder))


if __name__ == "__main__":
    main()
