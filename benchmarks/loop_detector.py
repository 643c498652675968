"""A small one-stage detector on a SqueezeNet trunk: what the closed loop trains, again and again.

As CenterNet, it predicts per cell and category whether an object's centre is there, and the
distances to the object's four edges. The head has no spatial kernels, so that it can be trained on
some of the cells of `loop_features`.

References
----------
Zhou, Wang and Krähenbühl (2019), Objects as Points; Tian et al. (2019), FCOS
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms

from benchmarks.loop_features import OFFSET, STRIDE, FeatureMaps, Grid
from benchmarks.loop_frames import LoopSet
from services.contracts.events import Detection
from services.contracts.identity import Category
from services.domain.arrays import FloatArray, IntArray

_SPREAD: Final = 0.15
"""Standard deviation of an object's heat, as a share of its side."""
_CENTRE: Final = 0.3
"""Cells with more heat learn the object's edges."""
_NEAR: Final = 0.1
"""Cells with more heat are trained on in every batch."""
_MAX_FOUND: Final = 40
_MIN_SCORE: Final = 0.03
_OVERLAP: Final = 0.5


@dataclass(frozen=True)
class Training:
    """How long and how the head is trained: as long, however many frames there are.

    Attributes
    ----------
    steps : number of batches
    batch : frames per batch
    rate : highest learning rate, which falls to zero as a cosine
    clear : share of the cells far from any object that a batch trains on
    hidden : width of the head's two layers
    dropout : share of the hidden units that a batch leaves out
    seed : of the initial weights, which are the same in every round, and of the order
    """

    steps: int = 400
    batch: int = 16
    rate: float = 3e-3
    clear: float = 0.05
    hidden: int = 96
    dropout: float = 0.0
    seed: int = 0

    def seeded(self, seed: int) -> "Training":
        """The same with another seed."""
        return replace(self, seed=seed)

    def described(self) -> str:
        """What outcomes depend on, without the seed."""
        return f"steps {self.steps} batch {self.batch} rate {self.rate:g} dropout {self.dropout:g}"


@dataclass(frozen=True)
class Targets:
    """What the head is to say of the cells of some frames.

    Attributes
    ----------
    heat : (F, cells, C) float32, 1 at the cell that is nearest to an object's centre
    edges : (F, cells, 4) float32, log distances to left, top, right, bottom, in strides
    weight : (F, cells) float32, the heat of cells that learn edges, else 0
    """

    heat: Tensor
    edges: Tensor
    weight: Tensor

    def of(self, frames: IntArray) -> "Targets":
        """Those of some frames."""
        return Targets(self.heat[frames], self.edges[frames], self.weight[frames])


def image_sizes(data: LoopSet) -> list[tuple[int, int]]:
    """Width and height of every frame's image."""
    return [_image_size(data.path(frame)) for frame in range(len(data.frames))]


def _image_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def targets(data: LoopSet, grid: Grid) -> Targets:
    """The targets of all frames."""
    shape = (len(data.frames), grid.side**2)
    heat = np.zeros((*shape, len(data.categories)), np.float32)
    edges = np.zeros((*shape, 4), np.float32)
    weight = np.zeros(shape, np.float32)
    centres = OFFSET + STRIDE * np.arange(grid.side, dtype=np.float32)
    x, y = (axis.ravel() for axis in np.meshgrid(centres, centres))
    for place in range(len(data.frames)):
        for category, box in _boxes(data, place, grid.pixels):
            left, top, width, height = box
            dx, dy = (x - left - width / 2), (y - top - height / 2)
            spread = max(_SPREAD * width, 4.0), max(_SPREAD * height, 4.0)
            own = np.exp(-((dx / spread[0]) ** 2 + (dy / spread[1]) ** 2) / 2)
            own /= own.max()
            heat[place, :, category] = np.maximum(heat[place, :, category], own)
            sides = np.stack([x - left, y - top, left + width - x, top + height - y], axis=1)
            learns = (own > np.maximum(_CENTRE, weight[place])) & (sides.min(axis=1) > -STRIDE / 2)
            edges[place, learns] = np.log(np.maximum(sides[learns], 1.0) / STRIDE)
            weight[place, learns] = own[learns]
    return Targets(*(torch.from_numpy(part) for part in (heat, edges, weight)))


def _boxes(data: LoopSet, place: int, pixels: int) -> list[tuple[int, FloatArray]]:
    """Categories and boxes (x, y, width, height) of a frame, in pixels of the resized image."""
    frame = data.frames[place]
    width, height = _image_size(data.path(place))
    scale = np.array([pixels / width, pixels / height] * 2)
    return [
        (data.categories.index(part.value.category), np.array(part.value.bbox) * scale)
        for part in frame.annotations or ()
        if not part.value.crowd
    ]


class Head(nn.Module):
    """Two hidden layers on every cell, then the heat of each category, and four edges."""

    def __init__(self, dimensions: int, categories: int, how: Training) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(dimensions, how.hidden),
            nn.ReLU(),
            nn.Dropout(how.dropout),
            nn.Linear(how.hidden, how.hidden),
            nn.ReLU(),
            nn.Dropout(how.dropout),
        )
        self.heat = nn.Linear(how.hidden, categories)
        self.edges = nn.Linear(how.hidden, 4)
        nn.init.constant_(self.heat.bias, -4.0)  # centres are rare
        nn.init.constant_(self.edges.bias, 1.0)

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (..., C) and edges (..., 4) of (..., D)."""
        hidden = self.hidden(cells)
        return self.heat(hidden), self.edges(hidden)


def head_loss(head: Head, cells: Tensor, truth: Targets, scale: Tensor) -> Tensor:
    """CenterNet's focal loss and the edges' L1, per object.

    Parameters
    ----------
    cells : (N, D); `truth` has the same cells
    scale : (N,), how many cells each stands for
    """
    logits, edges = head(cells)
    chance = logits.sigmoid()
    centre = truth.heat > 0.999  # noqa: PLR2004  # the nearest cell's heat is 1 up to rounding
    hit = -((1 - chance) ** 2) * functional.logsigmoid(logits)
    clear = -((1 - truth.heat) ** 4) * chance**2 * functional.logsigmoid(-logits)
    objects = centre.sum().clamp(min=1)
    heat = (torch.where(centre, hit, clear) * scale[:, None]).sum() / objects
    gap = (edges - truth.edges).abs().mean(dim=1)
    loss: Tensor = heat + (gap * truth.weight).sum() / truth.weight.sum().clamp(min=1)
    return loss


def train_head(maps: FeatureMaps, truth: Targets, frames: IntArray, how: Training) -> Head:
    """Train a head on some frames, from the weights that the seed gives."""
    torch.manual_seed(how.seed)
    rng = np.random.default_rng(how.seed)
    cells = torch.from_numpy(np.ascontiguousarray(maps.cells[frames])).flatten(0, 1)
    own = truth.of(frames)
    near = [np.flatnonzero(heat) for heat in (own.heat.amax(dim=2) > _NEAR).numpy()]
    heat, edges, weight = (part.flatten(0, 1) for part in (own.heat, own.edges, own.weight))
    head = Head(maps.cells.shape[2], heat.shape[1], how)
    optimiser = torch.optim.AdamW(head.parameters(), lr=how.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.rate, how.steps)
    per_frame = truth.heat.shape[1]
    drawn = round(how.clear * per_frame)
    for batch in batches(len(frames), how, rng):
        close = np.concatenate([near[frame] + frame * per_frame for frame in batch])
        clear = (rng.integers(per_frame, size=(drawn, 1)) + batch * per_frame).ravel()
        clear = np.setdiff1d(clear, close)
        taken = np.concatenate([close, clear])
        scale = np.repeat([1.0, 1 / how.clear], [len(close), len(clear)]).astype(np.float32)
        some = Targets(heat[taken], edges[taken], weight[taken])
        loss = head_loss(head, cells[taken].float(), some, torch.from_numpy(scale))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        optimiser.step()
        schedule.step()
    return head.eval()


def batches(frames: int, how: Training, rng: np.random.Generator) -> Iterator[IntArray]:
    """(batch,) places of frames; all frames take turns, in a new order each time."""
    waiting = np.empty(0, np.int64)
    for _ in range(how.steps):
        while len(waiting) < how.batch:
            waiting = np.concatenate([waiting, rng.permutation(frames)])
        yield waiting[: how.batch]
        waiting = waiting[how.batch :]


@dataclass(frozen=True)
class Found:
    """What a detector finds on one frame, best first.

    Attributes
    ----------
    boxes : (n, 4) float64 [x, y, width, height] in pixels of the image
    category, score, cell : (n,), places of categories, scores, and the cells they were found at
    """

    boxes: FloatArray
    category: IntArray
    score: FloatArray
    cell: IntArray

    def detections(self, categories: Sequence[Category]) -> list[Detection]:
        """As in the detector's event."""
        rows = zip(self.category.tolist(), self.score.tolist(), self.boxes.tolist(), strict=True)
        return [
            Detection(category=categories[category], score=score, bbox=tuple(box))
            for category, score, box in rows
        ]


@torch.inference_mode()
def detect(head: Head, maps: FeatureMaps, frame: int, size: tuple[int, int]) -> Found:
    """Detect on one frame.

    Parameters
    ----------
    size : width and height of its image
    """
    logits, edges = head(torch.from_numpy(np.asarray(maps.cells[frame], np.float32)))
    return decoded(logits.sigmoid(), edges, maps.grid, size)


def decoded(heat: Tensor, edges: Tensor, grid: Grid, size: tuple[int, int]) -> Found:
    """The boxes at the peaks of the heat, without those that overlap a better one.

    Parameters
    ----------
    heat, edges : (cells, C) and (cells, 4)
    size : width and height of the image
    """
    maps = heat.T.reshape(1, -1, grid.side, grid.side)
    peak = (functional.max_pool2d(maps, 3, 1, 1) == maps)[0].flatten(1).T
    scores, order = (heat * peak).flatten().topk(_MAX_FOUND)
    order = order[scores > _MIN_SCORE]
    scores = scores[scores > _MIN_SCORE]
    cell, category = order // heat.shape[1], order % heat.shape[1]
    x = OFFSET + STRIDE * (cell % grid.side)
    y = OFFSET + STRIDE * (cell // grid.side)
    reach = edges[cell].clamp(max=4.0).exp() * STRIDE
    corners = torch.stack([x - reach[:, 0], y - reach[:, 1], x + reach[:, 2], y + reach[:, 3]], 1)
    corners = corners.clamp(0, grid.pixels)
    kept = batched_nms(corners, scores, category, _OVERLAP)
    kept = kept[((corners[kept, 2:] - corners[kept, :2]) > 1).all(dim=1)]
    scale = np.array([size[0] / grid.pixels, size[1] / grid.pixels] * 2)
    boxes = corners[kept].double().numpy() * scale
    boxes[:, 2:] -= boxes[:, :2]
    return Found(boxes, category[kept].numpy(), scores[kept].double().numpy(), cell[kept].numpy())
