"""The same detector with its trunk trained: minutes per training instead of seconds.

It shows whether strategies keep their order. Nothing is chosen again: it is trained on the frames
that runs with the frozen trunk have chosen.
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.loop_detector import (
    Found,
    Head,
    Targets,
    Training,
    batches,
    decoded,
    head_loss,
    image_sizes,
    targets,
)
from benchmarks.loop_features import Components, Trunk, components, pixels
from benchmarks.loop_frames import LoopSet
from benchmarks.loop_rounds import Train
from benchmarks.loop_strategies import Detect
from services.domain.detection.coco import IntArray

_SLOWER: Final = 0.03
"""The trunk's learning rate, as a share of the head's."""


class TrainedTrunk(nn.Module):
    """Trunk, principal components and head, from pixels to heat and edges."""

    def __init__(self, trunk: Trunk, projection: Components, head: Head) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self._projection = projection

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, cells, C) and edges (B, cells, 4) of (B, 3, SIDE, SIDE)."""
        return self.head(self.cells(images))  # type: ignore[no-any-return]  # modules have no types

    def cells(self, images: Tensor) -> Tensor:
        """(B, cells, D) float32."""
        maps: Tensor = self.trunk(images)
        return self._projection(maps.flatten(2).transpose(1, 2))


def train_all(data: LoopSet, truth: Targets, frames: IntArray, how: Training) -> TrainedTrunk:
    """Train trunk and head on some frames, from ImageNet's weights and those of the seed."""
    torch.manual_seed(how.seed)
    trunk = Trunk()
    projection = components(data, trunk.eval())
    head = Head(projection.width, truth.heat.shape[2], how)
    model = TrainedTrunk(trunk, projection, head)
    groups: list[dict[str, Any]] = [
        {"params": head.parameters(), "lr": how.rate},
        {"params": trunk.parameters(), "lr": _SLOWER * how.rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, how.steps)
    for batch in batches(len(frames), how, np.random.default_rng(how.seed)):
        chosen = frames[batch]
        images = torch.stack([pixels(data.path(frame)) for frame in chosen.tolist()])
        cells, own = model.cells(images).flatten(0, 1), truth.of(chosen)
        flat = Targets(*(part.flatten(0, 1) for part in (own.heat, own.edges, own.weight)))
        loss = head_loss(head, cells, flat, torch.ones(len(cells)))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        optimiser.step()
        schedule.step()
    return model.eval()


def trunk_trainer(data: LoopSet, side: int, how: Training) -> Train:
    """Trains all of the detector, as `Loop.train`."""
    truth, sizes = targets(data, side), image_sizes(data)

    @lru_cache(maxsize=4)  # all strategies of a seed start from the same detector
    def trained(frames: tuple[int, ...], seed: int) -> Detect:
        model = train_all(data, truth, np.array(frames), how.seeded(seed))

        @torch.inference_mode()
        def found(frame: int) -> Found:
            logits, edges = model(pixels(data.path(frame))[None])
            return decoded(logits[0].sigmoid(), edges[0], side, sizes[frame])

        return found

    return lambda frames, seed: trained(tuple(frames.tolist()), seed)
