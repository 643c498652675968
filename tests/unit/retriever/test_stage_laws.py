"""Laws of the stages: what they hand over depends on what they read, not on its order or division.

With these, shortlists are the same for any number of processes per stage: any of them may have read
any part, in any order, and more than once.
"""

from collections.abc import Sequence
from functools import cache
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.events import ErrorType
from services.contracts.identity import Category, FamilyId, FrameId, RegionId, VehicleId
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples, FailureModel
from services.domain.shortlists.candidate_scoring import (
    CategoryModel,
    Haystack,
    ModeQuery,
    frame_worths,
    scored_candidates,
)
from services.domain.shortlists.frame_worths import FrameWorths
from services.domain.shortlists.scored_candidates import CaptureContext, ScoredCandidate
from services.domain.shortlists.strategies import CategoryStats, worst_frames
from services.retriever.labelled_regions import LabelledRegions, examples_of, modes_of_regions

BACKGROUND, DUPLICATE = FailureMode(ErrorType.BACKGROUND), FailureMode(ErrorType.DUPLICATE)
FAMILIES = [FamilyId("f"), FamilyId("g")]
REGIONS, FRAMES, DIMENSION, FEATURES = 60, 20, 64, 5


@cache
def category_model() -> CategoryModel:
    """A model of which each mode uses another method: logistic, and contrast."""
    rng = np.random.default_rng(1)
    modes = tuple([None, BACKGROUND] * 20 + [DUPLICATE])
    examples = Examples(unit(rng, len(modes)), rng.random((len(modes), FEATURES)), modes)
    scores, matched = rng.random(80), rng.random((80, 10)) < 0.5
    return CategoryModel(FailureModel.fit(examples), CategoryStats(scores, matched, 50))


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    rows = rng.normal(size=(count, DIMENSION))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@cache
def haystack() -> Haystack:
    rng = np.random.default_rng(2)
    contexts = [
        CaptureContext(FrameId(f"f{place % FRAMES:02d}"), None, 0.0, None, VehicleId("v"))
        for place in range(REGIONS)
    ]
    regions = [RegionId(f"r{place:02d}") for place in range(REGIONS)]
    features, scores = rng.random((REGIONS, FEATURES)), rng.random(REGIONS)
    return Haystack(regions, unit(rng, REGIONS), features, scores, contexts)


def rows(places: Sequence[int]) -> Haystack:
    whole = haystack()
    return Haystack(
        [whole.regions[place] for place in places],
        whole.vectors[places],
        whole.features[places],
        whole.scores[places],
        [whole.contexts[place] for place in places],
    )


def scored(parts: Sequence[Sequence[int]]) -> dict[FailureMode, list[ScoredCandidate]]:
    """What scorers that each have some of the frames find together."""
    rng = np.random.default_rng(3)
    queries = {mode: ModeQuery(unit(rng, 2), FAMILIES) for mode in (BACKGROUND, DUPLICATE)}
    found: dict[FailureMode, list[ScoredCandidate]] = {mode: [] for mode in queries}
    for part in parts:
        regions = rows(part)
        worths = FrameWorths(10**6)
        worths.put(Category("stop sign"), frame_worths(category_model(), regions, worst_frames))
        totals = worths.totals(context.frame for context in regions.contexts)
        of_part = scored_candidates(category_model(), regions, queries, totals, 0.3)
        for mode, candidates in of_part.items():
            found[mode] += candidates
    return {mode: sorted(items, key=lambda item: item.region) for mode, items in found.items()}


@given(
    st.permutations(range(REGIONS)), st.lists(st.integers(0, 3), min_size=FRAMES, max_size=FRAMES)
)
@settings(max_examples=50)
def test_frames_are_scored_alike_in_any_order_and_by_any_number_of_scorers(
    order: list[int], scorer_of: list[int]
) -> None:
    parts = [[p for p in order if scorer_of[p % FRAMES] == scorer] for scorer in range(4)]
    assert scored([part for part in parts if part]) == scored([range(REGIONS)])


def labelled() -> list[LabelledRegions]:
    """Frames of three labelled regions each."""
    rng = np.random.default_rng(4)
    modes = [None, BACKGROUND, DUPLICATE]
    return [
        LabelledRegions(
            FrameId(f"f{frame:02d}"),
            1,
            False,
            tuple(RegionId(f"r{3 * frame + place:02d}") for place in range(3)),
            tuple(rng.random(3).tolist()),
            (0, 0, 0),
            (0, 0, 0),
            tuple(modes[number] for number in rng.integers(0, 3, 3)),
            1,
        )
        for frame in range(FRAMES)
    ]


@given(st.lists(st.sampled_from(range(FRAMES)), max_size=FRAMES), st.randoms())
def test_a_models_id_is_that_of_its_examples_in_any_order_and_however_often_they_came(
    again: list[int], random: Random
) -> None:
    frames = labelled()
    vectors = dict(zip(haystack().regions, haystack().vectors, strict=True))
    features = dict(zip(haystack().regions, haystack().features, strict=True))
    delivered = frames + [frames[place] for place in again]
    random.shuffle(delivered)
    first = examples_of(modes_of_regions(frames, 0.3), vectors, features)
    second = examples_of(modes_of_regions(delivered, 0.3), vectors, features)
    assert first.digest() == second.digest()
