"""Whether re-annotating what Gazeloop lists makes a detector better: `make bench-loop`.

    python -m benchmarks.closed_loop --coco gt.json --images DIR --quick
    python -m benchmarks.closed_loop --coco gt.json --images DIR --strategies random worst-frames
    python -m benchmarks.closed_loop --coco gt.json --images DIR --train-trunk --seeds 2
    python -m benchmarks.closed_loop --coco gt.json --images DIR --report

A small detector is trained on an initial set; a strategy chooses frames, which are annotated from
the held-back truth; the detector is trained again from the same start, and tested on other frames.
Finished rounds are kept, so a run that was stopped goes on with the seed and strategy it was at.
`--report` only prints what is there. Random frames with twice the budget are the power check: no
difference between strategies counts where theirs cannot be told from zero. Two processes may share
the cache, with other seeds or strategies each.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.loop_detector import (
    Found,
    Training,
    detect,
    image_sizes,
    targets,
    train_head,
)
from benchmarks.loop_features import PIXELS, FeatureMaps, feature_maps
from benchmarks.loop_frames import LoopSet
from benchmarks.loop_report import RANDOM, report
from benchmarks.loop_rounds import STRATEGIES, TWICE, Loop, Outcome, OutcomeFile, Sizes, Train
from benchmarks.loop_statistics import SECONDS_PER_BOX, SECONDS_PER_FRAME, CostModel
from benchmarks.loop_strategies import Detect
from benchmarks.loop_trunk import trunk_trainer
from services.runtime.observability.logs import configure_logs

_QUICK = {
    "seeds": 3,
    "strategies": [RANDOM, TWICE, "entropy", "worst-frames"],
}
CACHE = Path(__file__).parents[1] / "build" / "closed_loop"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and print the tables."""
    parser = _options()
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**_QUICK)
    options = parser.parse_args(arguments)
    configure_logs(level="ERROR")
    torch.set_num_threads(options.threads)
    data = LoopSet.read(options.coco, options.images, options.name or options.coco.parent.name)
    sizes = Sizes(options.test, options.reference, options.initial, options.budget, options.rounds)
    how = Training(steps=options.steps)
    setup = f"{data.name} {len(data.frames)} frames, {sizes.described()}, {how.described()}"
    if options.pixels != PIXELS:
        setup += f", {options.pixels} pixels"
    outcomes = OutcomeFile(options.cache / "outcomes.jsonl")
    maps = feature_maps(data, options.cache, options.pixels)
    if options.train_trunk:
        finished, setup = outcomes.read(setup), f"{setup}, trunk trained"
        loop = Loop(data, maps, trunk_trainer(data, maps, how), sizes, setup)
        if not options.report:
            _train_again(loop, finished, outcomes, options)
    elif not options.report:
        _run_missing(
            Loop(data, maps, _head_trainer(data, maps, how), sizes, setup), outcomes, options
        )
    cost = CostModel(options.seconds_per_frame, options.seconds_per_box)
    sys.stdout.write(report(setup, outcomes.read(setup), data, cost))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coco", type=Path, required=True, help="ground truth of all images")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--name", help="of the data set; by default, its folder's")
    parser.add_argument("--strategies", nargs="*", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=40, help="frames per round")
    parser.add_argument("--initial", type=int, default=100, help="frames of the first detector")
    parser.add_argument("--reference", type=int, default=100, help="frames that needles are from")
    parser.add_argument("--test", type=int, default=300, help="frames that AP is measured on")
    parser.add_argument("--steps", type=int, default=Training.steps, help="batches per training")
    parser.add_argument(
        "--pixels",
        type=int,
        default=PIXELS,
        help="side of the square that images are resized to; more for small objects",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few seeds and strategies, unless they are named too"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=CACHE, help="of features and outcomes")
    parser.add_argument("--seconds-per-frame", type=float, default=SECONDS_PER_FRAME)
    parser.add_argument("--seconds-per-box", type=float, default=SECONDS_PER_BOX)
    parser.add_argument(
        "--train-trunk",
        action="store_true",
        help="train all of the detector on the frames that finished runs chose: minutes each",
    )
    parser.add_argument("--report", action="store_true", help="print the tables of finished runs")
    return parser


def _head_trainer(data: LoopSet, maps: FeatureMaps, how: Training) -> Train:
    truth, image_size = targets(data, maps.grid), image_sizes(data)

    @lru_cache(
        maxsize=4
    )  # all strategies of a seed start from the same detector, three rounds each
    def trained(frames: tuple[int, ...], seed: int) -> Detect:
        head = train_head(maps, truth, np.array(frames), how.seeded(seed))

        @cache
        def found(frame: int) -> Found:
            return detect(head, maps, frame, image_size[frame])

        return found

    return lambda frames, seed: trained(tuple(frames.tolist()), seed)


def _run_missing(loop: Loop, outcomes: OutcomeFile, options: argparse.Namespace) -> None:
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for strategy in options.strategies:
            known = outcomes.read(loop.setup).get((seed, strategy), [])
            if known and known[-1].round == loop.sizes.rounds:
                continue
            asyncio.run(loop.run(seed, strategy, lambda outcome: _note(outcome, outcomes)))


def _train_again(
    loop: Loop,
    finished: Mapping[tuple[int, str], Sequence[Outcome]],
    outcomes: OutcomeFile,
    options: argparse.Namespace,
) -> None:
    """Train on what finished runs have chosen in the end, and test."""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for (seed, strategy), rounds in finished.items():
        if seed in seeds and strategy in options.strategies:
            known = outcomes.read(loop.setup).get((seed, strategy), [])
            done = {outcome.round for outcome in known}
            for outcome in (rounds[0], rounds[-1]):
                if outcome.round not in done:
                    _note(loop.repeated(outcome), outcomes)


def _note(outcome: Outcome, outcomes: OutcomeFile) -> None:
    outcomes.append(outcome)
    sys.stderr.write(
        f"seed {outcome.seed} {outcome.strategy} round {outcome.round}: {outcome.frames} frames,"
        f" {outcome.boxes} boxes, AP {outcome.mean_ap:.3f}\n"
    )


if __name__ == "__main__":
    main()
