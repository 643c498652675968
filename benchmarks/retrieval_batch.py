"""How long the allocation of an epoch takes, by how many categories and detectors there are.

`python -m benchmarks.retrieval_batch`. Each category has a failure mode with ten needles of three
families, and candidates that wait. An epoch brings 1,000 candidates, spread over all detectors and
categories, and a budget that has grown by thirty frames per detector. Times are of the CPU,
because the machine may be busy.
"""

import random
import time
from argparse import ArgumentParser
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.scored_candidates import (
    CaptureContext,
    Key,
    Limits,
    ScoredCandidate,
)

EPOCHS = 20
PER_EPOCH = 1_000
WAITING = 50
LISTED = 2_000
"""Frames per detector that are listed before."""


def limits(budget: int) -> Limits:
    """The default limits with this budget."""
    return Limits(Budgets(budget), size=10, per_drive=3, apart_s=1.0, apart_m=5.0)


def candidate(rng: random.Random, number: int) -> ScoredCandidate:
    """A candidate on a frame of its own."""
    context = CaptureContext(
        FrameId(f"frame{number}"),
        DriveId(f"drive{number // 200}"),
        float(number),
        None,
        VehicleId(f"vehicle{number // 2000}"),
    )
    family = FamilyId(f"family{rng.randrange(3)}")
    return ScoredCandidate(RegionId(f"region{number}"), context, rng.random(), 0.5, family)


def keys(detector: int, categories: int) -> list[Key]:
    """A failure mode per category."""
    return [
        (f"detector{detector}", f"category{number}", "background", "")
        for number in range(categories)
    ]


def filled(rng: random.Random, detector: int, categories: int) -> BudgetAllocator:
    """An allocator with needles, candidates and listed frames."""
    allocator = BudgetAllocator(limits(LISTED))
    number = 0
    for place, key in enumerate(keys(detector, categories)):
        for needle in range(10):
            family = FamilyId(f"family{needle % 3}")
            allocator.add_needle(key, NeedleId(f"needle{place}-{needle}"), family)
        allocator.add_candidates(key, [candidate(rng, number + n) for n in range(WAITING)])
        number += WAITING
    allocator.allocate(limits(LISTED))
    return allocator


def epochs_ms(detectors: int, categories: int) -> Sequence[float]:
    """What each of twenty epochs takes, in milliseconds of CPU."""
    rng = random.Random(1)  # noqa: S311  # a seeded draw
    allocators = [filled(rng, detector, categories) for detector in range(detectors)]
    of = [keys(detector, categories) for detector in range(detectors)]
    taken = []
    for epoch in range(1, EPOCHS + 1):
        first = 10_000_000 + epoch * PER_EPOCH
        new = [(rng.randrange(detectors), candidate(rng, first + n)) for n in range(PER_EPOCH)]
        started = time.process_time()
        for detector, item in new:
            allocators[detector].add_candidates(rng.choice(of[detector]), [item])
        for allocator in allocators:
            allocator.allocate(limits(LISTED + 30 * epoch))
        taken.append(1000 * (time.process_time() - started))
    return taken


def main() -> None:
    """Print the median and the longest epoch."""
    ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    out = Console()
    for detectors, categories in ((1, 30), (1, 1_000), (5, 1_000)):
        taken = epochs_ms(detectors, categories)
        out.print(
            f"{detectors} detectors, {categories} categories:"
            f" {np.median(taken):.1f} ms, at most {max(taken):.1f}"
        )


if __name__ == "__main__":
    main()
