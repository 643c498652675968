"""The closed loop without Gazeloop's own stack, on pictures drawn here."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from benchmarks import closed_loop, loop_look_alikes
from benchmarks.loop_detector import Found
from benchmarks.loop_frames import Division, LoopSet
from benchmarks.loop_product import split_ids
from benchmarks.loop_report import report
from benchmarks.loop_rounds import Outcome
from benchmarks.loop_statistics import CostModel, paired_difference
from benchmarks.loop_strategies import BASELINES, Round
from services.contracts.events import Split
from services.contracts.identity import Category
from services.domain.splits import SplitRule

_FRAMES, _SIDE, _BOX = 14, 96, 40
SMALL = ("--pixels", "160")
BLUE = Category("blue")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a COCO data set: a red or a blue square on each grey picture."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for number in range(1, _FRAMES + 1):
        left, top = rng.integers(_SIDE - _BOX, size=2).tolist()
        picture = Image.new("RGB", (_SIDE, _SIDE), "grey")
        colour = ("red", "blue")[number % 2]
        ImageDraw.Draw(picture).rectangle((left, top, left + _BOX, top + _BOX), fill=colour)
        picture.save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": _SIDE, "height": _SIDE})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1 + number % 2,
                "bbox": [left, top, _BOX, _BOX],
                "area": _BOX**2,
                "iscrowd": 0,
            }
        )
    categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "gt.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of features, which one test computes, and of outcomes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(pictures: Path) -> LoopSet:
    return LoopSet.read(pictures / "gt.json", pictures, "squares")


def test_a_run_prints_its_tables_and_does_nothing_twice(
    pictures: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--test", "4", "--reference", "2", "--initial", "4", "--budget", "1", "--rounds", "2"]
    files = ["--coco", str(pictures / "gt.json"), "--images", str(pictures), "--name", "squares"]
    command = [*files, *sizes, "--seeds", "2", "--steps", "8", *SMALL, "--cache", str(cache)]
    chosen = ["--quick", "--strategies", "random", "random-x2", "entropy"]
    closed_loop.main([*command, *chosen])
    first = capsys.readouterr()
    closed_loop.main([*command, *chosen])
    second = capsys.readouterr()
    assert ", 160 pixels\n" in first.out
    assert "| random | 2 | 2 | 2 |" in first.out
    assert "| random-x2 | 2 | 4 | 4 |" in first.out
    assert "Power: random with twice the frames less random is" in first.out
    assert second.out == first.out
    assert first.err.count("\n") == 14
    assert second.err.count("\n") == 0


def test_the_trunk_is_trained_on_what_finished_runs_have_chosen(
    pictures: Path,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = np.zeros(0, np.int64)
    blind = Found(np.zeros((0, 4)), nothing, np.zeros(0), nothing)
    # A step of the real one takes seconds.
    monkeypatch.setattr(closed_loop, "trunk_trainer", lambda *_: lambda *_: lambda _: blind)
    sizes = ["--test", "4", "--reference", "2", "--initial", "4", "--budget", "1", "--rounds", "1"]
    files = ["--coco", str(pictures / "gt.json"), "--images", str(pictures), "--name", "squares"]
    command = [*files, *sizes, "--seeds", "1", "--steps", "1", *SMALL, "--cache", str(cache)]
    closed_loop.main([*command, "--strategies", "random"])
    closed_loop.main([*command, "--train-trunk"])
    lines = (cache / "outcomes.jsonl").read_text().splitlines()[-4:]
    parsed = [json.loads(line) for line in lines]
    frozen, trained = parsed[:2], parsed[2:]
    assert [line["chosen"] for line in trained] == [line["chosen"] for line in frozen]
    assert ", 160 pixels, trunk trained\n" in capsys.readouterr().out


def test_a_strategy_is_compared_on_the_seeds_that_random_frames_have_too(data: LoopSet) -> None:
    def run(seed: int, strategy: str, before: float, after: float) -> list[Outcome]:
        return [
            Outcome("s", seed, strategy, number, 40 * number, 50 * number, 0, ap, {BLUE: ap}, [])
            for number, ap in enumerate((before, after))
        ]

    ended = {(0, "random"): run(0, "random", 0.2, 0.3), (1, "random"): run(1, "random", 0.0, 0.1)}
    ended[0, "entropy"] = run(0, "entropy", 0.2, 0.25)
    ended[7, "k-center"] = run(7, "k-center", 0.2, 0.25)
    lines = report("s", ended, data, CostModel()).splitlines()
    # Its .25 is above the mean of random frames over both seeds, and below theirs of its own seed.
    (entropy,) = [line for line in lines if line.startswith("| entropy | -0.050")]
    assert entropy.endswith("| not reached | 40 frames, 50 boxes |")
    assert "| k-center | - | - | - | - | - | - |" in lines


def test_look_alikes_are_planted_where_no_object_is_and_nothing_else_changes(
    pictures: Path, data: LoopSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "planted"
    monkeypatch.chdir(pictures)
    files = ["--coco", "gt.json", "--images", ".", "--to", str(to)]
    loop_look_alikes.main([*files, "--share", "1"])
    after = LoopSet.read(to / "gt.json", to, "squares")
    changed = 0
    for frame in range(_FRAMES):
        old = np.asarray(Image.open(data.path(frame)))
        new = np.asarray(Image.open(after.path(frame)))
        (part,) = data.frames[frame].annotations or ()
        left, top, *_ = (int(number) for number in part.value.bbox)
        inside = np.s_[top : top + _BOX, left : left + _BOX]
        assert (old[inside] == new[inside]).all()
        changed += bool((old != new).any())
    assert changed > 0
    assert (to / "gt.json").read_bytes() == (pictures / "gt.json").read_bytes()


def _state(data: LoopSet, scores: Sequence[Sequence[float]]) -> Round:
    division = Division.of(len(data.frames), 3, (4, 2, 2))
    angles = np.arange(len(data.frames)) / 10

    def found(frame: int) -> Found:
        some = np.array(scores[frame])
        nothing = np.zeros(some.size, np.int64)
        return Found(np.zeros((some.size, 4)), nothing, some, nothing)

    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    annotated = division.pool[:1]
    return Round(data, division, 2, found, vectors, annotated, np.random.default_rng(0))


@pytest.mark.parametrize("name", sorted(BASELINES))
async def test_a_strategy_chooses_different_frames_that_are_not_annotated(
    data: LoopSet, name: str
) -> None:
    rng = np.random.default_rng(2)
    state = _state(data, [rng.random(rng.integers(4)).tolist() for _ in data.frames])
    chosen = (await BASELINES[name].choose(state, 4)).tolist()
    assert len(set(chosen)) == 4
    assert set(chosen) <= set(state.open.tolist())


async def test_entropy_prefers_frames_with_many_unsure_detections(data: LoopSet) -> None:
    scores = [[0.99]] * len(data.frames)
    state = _state(data, scores)
    unsure, doubly_unsure = state.open[:2].tolist()
    scores[unsure], scores[doubly_unsure] = [0.5], [0.5, 0.5]
    chosen = await BASELINES["entropy"].choose(state, 2)
    assert chosen.tolist() == [doubly_unsure, unsure]


async def test_k_center_prefers_the_frame_farthest_from_all_that_are_annotated(
    data: LoopSet,
) -> None:
    state = _state(data, [[]] * len(data.frames))
    (chosen,) = await BASELINES["k-center"].choose(state, 1)
    known = state.vectors[[*state.division.initial, *state.annotated]]
    nearest = {frame: (known @ state.vectors[frame]).max() for frame in state.open.tolist()}
    assert nearest[chosen] == min(nearest.values())


def test_frames_have_ids_that_gazeloops_split_puts_where_they_are_to_be(data: LoopSet) -> None:
    reference, pool = np.arange(5), np.arange(5, _FRAMES)
    ids = split_ids(data, reference, pool)
    rule = SplitRule(0.5, by_frame=True)
    splits = [rule.split_of(ids[frame], None) for frame in range(_FRAMES)]
    assert splits == [Split.REFERENCE] * 5 + [Split.HAYSTACK] * (_FRAMES - 5)
    assert len(set(ids.values())) == _FRAMES


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_a_division_has_each_frame_once(seed: int, test: int, reference: int, initial: int) -> None:
    parts = Division.of(20, seed, (test, reference, initial))
    assert sorted([*parts.test, *parts.reference, *parts.initial, *parts.pool]) == list(range(20))
    assert (parts.test.size, parts.reference.size, parts.initial.size) == (test, reference, initial)


def test_a_pool_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        Division.of(20, 0, (10, 5, 5))


def test_a_paired_interval_is_students() -> None:
    found = paired_difference([0.3, 0.4, 0.5], [0.2, 0.2, 0.2])
    wide = 4.303 * 0.1 / math.sqrt(3)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2 - wide, 0.2 + wide))
    assert found.detectable > wide


def test_one_seed_shows_nothing() -> None:
    found = paired_difference([0.3], [0.1])
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_values_of_other_seeds_are_not_paired() -> None:
    with pytest.raises(ValueError, match="not paired"):
        paired_difference([0.3, 0.2], [0.1])


def test_annotation_costs_seconds_per_frame_and_per_box() -> None:
    assert CostModel(5, 7).seconds(10, 20) == 190
