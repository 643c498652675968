"""The same detector with its trunk trained: minutes per training instead of seconds.

It shows whether strategies keep their order. Nothing is chosen again: it is trained on the frames
that runs with the frozen trunk have chosen. The head is trained first, as with the frozen trunk;
then a quarter as many batches train all of the detector, because a head that has learnt nothing yet
would distort the trunk.

References
----------
Kumar et al. (2022), Fine-Tuning can Distort Pretrained Features
"""

from dataclasses import replace
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
    train_head,
)
from benchmarks.loop_features import Components, FeatureMaps, Trunk, components, resized
from benchmarks.loop_frames import LoopSet
from benchmarks.loop_rounds import Train
from benchmarks.loop_strategies import Detect

_TUNING: Final = 0.25
"""Of the head's batches, how many more train all of the detector."""
_HEAD_SLOWER: Final = 0.1
"""The head's learning rate in these, as a share of its own before."""
_TRUNK_SLOWER: Final = 0.03
"""The same of the trunk's."""
_NUMBERS: Final = torch.bfloat16
"""Of images and the trunk's activations: a batch takes two fifths of the time on an EPYC core."""


class TrainedTrunk(nn.Module):
    """Trunk, principal components and head."""

    def __init__(self, trunk: Trunk, projection: Components, head: Head) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self._projection = projection

    def cells(self, images: Tensor) -> Tensor:
        """(B, cells, D) float32."""
        with torch.autocast("cpu", _NUMBERS):
            maps: Tensor = self.trunk(images)
        # Not in bfloat16: scaling up the small components would scale up their rounding too.
        return self._projection(maps.float().flatten(2).transpose(1, 2))


def train_all(images: Tensor, truth: Targets, how: Training, start: TrainedTrunk) -> TrainedTrunk:
    """Train trunk and head, from ImageNet's weights and a trained head.

    Parameters
    ----------
    images : (F, 3, pixels, pixels)
    truth : of the same frames
    """
    groups: list[dict[str, Any]] = [
        {"params": start.head.parameters(), "lr": _HEAD_SLOWER * how.rate},
        {"params": start.trunk.parameters(), "lr": _TRUNK_SLOWER * how.rate},
    ]
    tuning = replace(how, steps=max(1, round(_TUNING * how.steps)))
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, tuning.steps)
    start.train()
    for batch in batches(len(images), tuning, np.random.default_rng(how.seed)):
        cells = start.cells(images[batch]).flatten(0, 1)
        parts = truth.of(batch)
        flat = Targets(*(part.flatten(0, 1) for part in (parts.heat, parts.edges, parts.weight)))
        loss = head_loss(start.head, cells, flat, torch.ones(len(cells)))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        optimiser.step()
        schedule.step()
    return start.eval()


def trunk_trainer(data: LoopSet, maps: FeatureMaps, how: Training) -> Train:
    """Trains all of the detector, as `Loop.train`."""
    truth, sizes = targets(data, maps.grid), image_sizes(data)
    projection = components(data, Trunk().eval(), maps.grid.pixels)

    def image(frame: int) -> Tensor:
        return resized(data.path(frame), maps.grid.pixels)

    @lru_cache(maxsize=4)  # all strategies of a seed start from the same detector
    def trained(frames: tuple[int, ...], seed: int) -> Detect:
        chosen, seeded = np.array(frames), how.seeded(seed)
        start = TrainedTrunk(Trunk(), projection, train_head(maps, truth, chosen, seeded))
        images = torch.stack([image(frame).to(_NUMBERS) for frame in frames])
        model = train_all(images, truth.of(chosen), seeded, start)

        @torch.inference_mode()
        def found(frame: int) -> Found:
            logits, edges = model.head(model.cells(image(frame)[None]))
            return decoded(logits[0].sigmoid(), edges[0], maps.grid, sizes[frame])

        return found

    return lambda frames, seed: trained(tuple(frames.tolist()), seed)
