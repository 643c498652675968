"""Allocation in two stages beside the single plan: what shards nominate, and what it costs.

`python -m benchmarks.retrieval_shards`. One detector with 200 categories of Zipf-distributed size
and 40,000 candidates on 20,000 frames, of which 2,000 may be listed: modes compete for frames.
Shards hold whole categories, or candidates in turn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.shortlists.allocation import allocate
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.mode_queue import Yields
from services.domain.shortlists.scored_candidates import (
    CaptureContext,
    Key,
    Limits,
    ModeNeedles,
    ScoredCandidate,
)
from services.domain.shortlists.sharded_allocation import Nominated, allocate_sharded, nominated

CATEGORIES, CANDIDATES, FRAMES, NEEDLES, BUDGET = 200, 40_000, 20_000, 2_000, 2_000
LIMITS = Limits(Budgets(BUDGET), size=10, per_drive=3, apart_s=1.0, apart_m=5.0)
Candidates = Mapping[Key, list[ScoredCandidate]]


@dataclass
class Shard:
    """A part of the candidates, which counts what it nominates."""

    candidates: dict[Key, list[ScoredCandidate]] = field(default_factory=dict)
    nominated: int = 0
    calls: int = 0

    def nominate(self, key: Key, yields: Yields, count: int) -> Nominated:
        """See `CandidateShard`."""
        found = nominated(self.candidates.get(key, ()), yields, count)
        self.nominated += len(found.candidates)
        self.calls += 1
        return found


def inputs(rng: np.random.Generator) -> tuple[Candidates, Mapping[Key, ModeNeedles]]:
    """Candidates and needles of one detector."""
    shares = 1 / np.arange(1, CATEGORIES + 1)
    shares /= shares.sum()
    keys: list[Key] = [
        ("detector", f"c{number:03d}", "background", "") for number in range(CATEGORIES)
    ]
    drives = rng.integers(0, FRAMES // 60, FRAMES)
    candidates: dict[Key, list[ScoredCandidate]] = {key: [] for key in keys}
    for number, category in enumerate(rng.choice(CATEGORIES, CANDIDATES, p=shares).tolist()):
        frame = int(rng.integers(FRAMES))
        context = CaptureContext(
            FrameId(f"f{frame:06d}"),
            DriveId(f"d{drives[frame]}"),
            frame * 0.4,
            None,
            VehicleId("v"),
        )
        family = FamilyId(f"{category}-{number % 3}")
        worth, evidence = rng.random(2).tolist()
        candidates[keys[category]].append(
            ScoredCandidate(RegionId(f"r{number:06d}"), context, worth, evidence, family)
        )
    counts = np.maximum(1, (shares * NEEDLES).astype(int)).tolist()
    needles = {
        key: {
            NeedleId(f"n{number}-{place:04d}"): FamilyId(f"{number}-{place % 3}")
            for place in range(count)
        }
        for number, (key, count) in enumerate(zip(keys, counts, strict=True))
    }
    return candidates, needles


def divided(candidates: Candidates, shards: int, of: Callable[[int, int], int]) -> list[Shard]:
    """The candidates in shards, by the number of their category and their own."""
    parts = [Shard() for _ in range(shards)]
    for number, (key, items) in enumerate(candidates.items()):
        for place, item in enumerate(items):
            parts[of(number, place) % shards].candidates.setdefault(key, []).append(item)
    return parts


def main() -> None:
    """Print a row for each way to divide."""
    out = Console(width=120)
    candidates, needles = inputs(np.random.default_rng(0))
    started = perf_counter()
    single = allocate(candidates, needles, (), (), LIMITS)
    whole_s = perf_counter() - started
    out.print(f"one allocator: {sum(map(len, single.values()))} frames in {whole_s:.2f} s")
    table = Table()
    for column in ("shards", "divided by", "equal", "nominated", "calls per mode and shard", "s"):
        table.add_column(column)
    ways: Mapping[str, Callable[[int, int], int]] = {
        "category": lambda category, _: category,
        "candidate": lambda _, place: place,
    }
    for name, way in ways.items():
        for shards in (4, 16, 64):
            parts = divided(candidates, shards, way)
            started = perf_counter()
            found = allocate_sharded(parts, needles, (), (), LIMITS)
            seconds = perf_counter() - started
            most = sum(part.nominated for part in parts) / CANDIDATES
            calls = sum(part.calls for part in parts) / CATEGORIES / shards
            row = (str(found == single), f"{most:.1%}", f"{calls:.2f}", f"{seconds:.2f}")
            table.add_row(str(shards), name, *row)
    out.print(table)


if __name__ == "__main__":
    main()
