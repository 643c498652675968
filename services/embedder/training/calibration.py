"""Quantises a network to int8: calibrates it on the user's frames, and measures it on others.

Quantisation follows training: value ranges between layers come from images that the network
processes. Some networks lose too much accuracy, so one far from full precision is not written.

References
----------
Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
inference, CVPR 2018; `nncf.quantize` in openvinotoolkit/nncf.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from services.contracts.errors import Invalid, InvalidSettings, UnfitInt8
from services.domain.arrays import Vectors
from services.domain.statistics.retrieval_quality import RetrievalQuality, exact_quality
from services.embedder.logic import scaled_boxes
from services.embedder.models.crops import Pixels
from services.embedder.models.forward import Forward
from services.embedder.models.int8 import CalibrationData, Card, Cosines, Faithfulness, written
from services.embedder.models.map_embedder import Decoding, RegionEncoder
from services.embedder.models.network import Network, load_network
from services.embedder.models.openvino_files import OpenVinoFiles
from services.embedder.models.openvino_forward import OpenVinoForward, converted
from services.embedder.models.precision import Precision
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.training.cards import write_with_card
from services.embedder.training.choices import LabelRule, Looked
from services.embedder.training.data import held_out_drives
from services.embedder.training.labelled import Example, LabelledFrame, examples
from services.embedder.training.quantising import made_with, quantised, require_nncf
from services.runtime.settings import Settings

MIN_COSINE = 0.998
MAX_MAP_LOSS = 0.005
"""Beyond either limit, search results differ from those in full precision."""
_PICTURES = 300
"""NNCF's default number of calibration images."""
_REGIONS_PER_FRAME = 8
"""Limit for calibration frames, so that a frame full of parked cars does not dominate."""
_DEPTH = 100


@dataclass(frozen=True)
class Plan:
    """The selection of frames.

    Attributes
    ----------
    source : name of the data
    frames : limit of frames, which are drawn at random
    held_out : share of the drives for measuring, which are not used for calibration
    """

    source: str
    frames: int = 200
    held_out: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class _Seen:
    """Vectors of frames and regions, decoded as in the service.

    Attributes
    ----------
    frames : (F, D)
    regions : (N, R), in the order of `examples`
    """

    frames: Vectors
    regions: Vectors
    examples: Sequence[Example]
    unreadable: int


@dataclass(frozen=True)
class Calibrated:
    """The written file.

    Attributes
    ----------
    card : in the file, and as a JSON file next to it
    sha256 : of the file
    """

    card: Card
    sha256: str


class _Listening:
    """A Forward that records its inputs."""

    def __init__(self, forward: Forward) -> None:
        self.device: torch.device = forward.device
        self.precision: Precision = forward.precision
        self.calibrated: str = forward.calibrated
        self.shown: list[Pixels] = []
        self._forward = forward

    def __call__(self, pixels: Pixels) -> Tensor:
        self.shown += [pixels[place : place + 1] for place in range(len(pixels))]
        return self._forward(pixels)


def write_calibrated(
    settings: Settings,
    frames: Sequence[LabelledFrame],
    plan: Plan,
    target: Path,
    advance: Callable[[int], None],
) -> Calibrated:
    """Quantise the embedder in the settings, measure it, and write it with its card.

    Parameters
    ----------
    advance : called with the number of newly finished frames, of `looks` in all

    Raises
    ------
    UnfitInt8
        The network is too far from full precision; nothing is written.
    MissingPart
        NNCF is not installed.
    InvalidSettings, MissingWeights
        Data or settings are unsuitable; the message names the remedy.
    """
    require_nncf()
    network = load_network(settings)
    learnt, held = parted(frames, plan)
    exact = OpenVinoForward(converted(network.features), Precision.FP32, settings.torch_threads)
    listening = _Listening(exact)
    rng = np.random.default_rng(plan.seed)
    calibrated = _seen(_embedder(network, settings, listening), learnt, advance, _few(rng))
    before = _seen(_embedder(network, settings, exact), held, advance, examples_of)
    exact_found = _quality(before)
    pictures = _drawn(listening.shown, rng)
    int8_files = quantised(network, pictures)
    rough = OpenVinoForward(
        int8_files.model(UnfitInt8), Precision.INT8, settings.torch_threads, int8_files.sha256
    )
    after = _seen(_embedder(network, settings, rough), held, advance, examples_of)
    measured = Faithfulness(
        frames=_cosines(before.frames, after.frames),
        regions=_cosines(before.regions, after.regions),
        queries=exact_found.queries,
        map_before=round(exact_found.mean_average_precision, 4),
        map_after=round(_quality(after).mean_average_precision, 4),
    )
    _require_faithful(network.backbone.name, measured)
    data = CalibrationData(
        source=plan.source,
        frames=len(learnt),
        frames_held_out=len(held),
        drives_held_out=len({frame.drive for frame in held}),
        unreadable_frames=calibrated.unreadable + before.unreadable,
        pictures=len(pictures),
    )
    return _written(target, network, int8_files, data, measured)


def looks(frames: Sequence[LabelledFrame], plan: Plan) -> int:
    """How many times `write_calibrated` embeds a frame: held-out frames count twice.

    Raises
    ------
    InvalidSettings
        There are too few drives.
    """
    learnt, held = parted(frames, plan)
    return len(learnt) + 2 * len(held)


def parted(
    frames: Sequence[LabelledFrame], plan: Plan
) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """Split frames into those for calibration and those of other drives for measuring.

    Raises
    ------
    InvalidSettings
        There are too few drives.
    """
    rng = np.random.default_rng(plan.seed)
    annotated = [frame for frame in frames if frame.objects]
    chosen = [annotated[place] for place in rng.permutation(len(annotated))[: plan.frames]]
    drives = held_out_drives([item.drive for item in chosen], plan.held_out, plan.seed)
    held = [item for item in chosen if item.drive in drives]
    return [item for item in chosen if item.drive not in drives], held


def examples_of(frame: LabelledFrame) -> list[Example]:
    """The frame's annotated objects that are large enough."""
    return examples([frame], Looked.CROPS, LabelRule.MOST_FREQUENT)


def _few(rng: np.random.Generator) -> Callable[[LabelledFrame], list[Example]]:
    def drawn(frame: LabelledFrame) -> list[Example]:
        frame_examples = examples_of(frame)
        return [
            frame_examples[place]
            for place in rng.permutation(len(frame_examples))[:_REGIONS_PER_FRAME]
        ]

    return drawn


def _embedder(network: Network, settings: Settings, forward: Forward) -> TorchEmbedder:
    regions, decoding = RegionEncoder(settings.region_encoder), Decoding(settings.embed_decode)
    return TorchEmbedder(network, regions, forward, decoding)


def _seen(
    embedder: TorchEmbedder,
    frames: Sequence[LabelledFrame],
    advance: Callable[[int], None],
    chosen: Callable[[LabelledFrame], list[Example]],
) -> _Seen:
    whole, regions, found, unreadable = [], [], [], 0
    for frame in frames:
        try:
            seen = frame.read_scaled(embedder.decoded_side)
        except Invalid:
            unreadable += 1
        else:
            frame_examples = chosen(frame)
            region_boxes = [example.box for example in frame_examples if example.box is not None]
            boxes = scaled_boxes(region_boxes, seen.picture.size, (seen.width, seen.height))
            [vectors] = embedder.embed([seen.picture], [boxes])
            whole.append(vectors.frame)
            regions.append(vectors.regions)
            found += frame_examples
        advance(1)
    if not whole:
        raise InvalidSettings("there is no annotated frame that could be read")
    return _Seen(np.stack(whole), np.concatenate(regions), found, unreadable)


def _drawn(shown: Sequence[Pixels], rng: np.random.Generator) -> list[Pixels]:
    """Draw images of every size in turn, so that the many crops do not displace the frames."""
    turns: list[tuple[int, int]] = []
    for size in sorted({array.shape for array in shown}):
        places = [place for place, array in enumerate(shown) if array.shape == size]
        turns += enumerate(rng.permutation(places).tolist())
    return [shown[place] for _, place in sorted(turns)[:_PICTURES]]


def _quality(seen: _Seen) -> RetrievalQuality:
    labels, drives = (
        np.unique(names, return_inverse=True)[1].astype(np.int64)
        for names in (
            [example.label for example in seen.examples],
            [example.frame.drive for example in seen.examples],
        )
    )
    found = exact_quality(seen.regions, labels, drives, _DEPTH) if seen.examples else None
    if found is None:
        raise InvalidSettings(
            "no category occurs on two held-out drives, so retrieval cannot be measured: give"
            " more drives, or hold out more with --held-out"
        )
    return found


def _cosines(exact: Vectors, rough: Vectors) -> Cosines:
    # Regions completely outside their frame have zero vectors.
    is_nonzero = np.linalg.norm(exact, axis=1) > 0
    cosines = (exact * rough).sum(axis=1)[is_nonzero]
    return Cosines(
        count=len(cosines),
        least=round(float(cosines.min(initial=1.0)), 5),
        mean=round(float(cosines.mean()), 5),
    )


def _require_faithful(name: str, measured: Faithfulness) -> None:
    lost = measured.map_before - measured.map_after
    least = min(measured.frames.least, measured.regions.least)
    if least >= MIN_COSINE and lost <= MAX_MAP_LOSS:
        return
    raise UnfitInt8(
        f"{name} loses too much with 8 bits: its vectors' least cosine to full precision is"
        f" {measured.frames.least:.4f} for frames and {measured.regions.least:.4f} for regions"
        f" (at least {MIN_COSINE} is required), and mAP changes from {measured.map_before:.3f}"
        f" to {measured.map_after:.3f} (at most {MAX_MAP_LOSS} may be lost); nothing was written"
    )


def _written(
    target: Path,
    network: Network,
    int8_files: OpenVinoFiles,
    data: CalibrationData,
    measured: Faithfulness,
) -> Calibrated:
    card = Card(
        name=network.backbone.name,
        pooling=network.pooling.value,
        network_sha256=network.sha256,
        sha256=int8_files.sha256,
        data=data,
        measured=measured,
        made_with=made_with(),
    )
    content = written(int8_files, card)
    sha256 = hashlib.sha256(content).hexdigest()
    write_with_card(target, content, {**card.model_dump(), "file_sha256": sha256})
    return Calibrated(card, sha256)
