"""Precision without ground truth: estimates, their intervals, and where there is none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from services.domain.arrays import BoolArray, FloatArray, Vectors
from services.domain.metrics.embedding_drift import UNLIKE, AnnotatedEmbeddings, unlike_share
from services.domain.metrics.estimated_precision import (
    MAX_SHOWN,
    MIN_CLUSTERS,
    MIN_DETECTIONS,
    EstimatedSlice,
    EstimatedStream,
    NoInterval,
    Residuals,
    SampledDetections,
    SampledFrames,
    estimate_stream,
)
from services.domain.mining.error_probability import ClusteredDetections, fit_errors

DIMENSIONS, FEATURES, PER_FRAME = 6, 4, 4


class Stream:
    """Frames of drives, four detections each; whether one is wrong depends on what it looks like.

    Parameters
    ----------
    common : the deviation of the log odds that a drive's detections share
    """

    def __init__(self, seed: int, annotated: int, other: int, common: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        frames = annotated + other
        self.annotated = np.arange(frames) < annotated
        self.clusters = np.arange(frames) // 4
        self.vectors = unit(rng.normal(size=(frames, DIMENSIONS)))
        self.frame = np.repeat(np.arange(frames), PER_FRAME)
        count = len(self.frame)
        self.features = rng.normal(size=(count, FEATURES))
        self.categories = rng.integers(0, 3, count)
        shared = rng.normal(size=frames // 4 + 1)[self.clusters[self.frame]] * common
        self.odds = -1 + 1.5 * self.features[:, 1] + 0.5 * self.categories + shared
        self.wrong = rng.random(count) < 1 / (1 + np.exp(-self.odds))
        self.regions = unit(rng.normal(size=(count, DIMENSIONS)))
        self.tags: list[Sequence[tuple[str, str]]] = [(("k", str(n % 2)),) for n in range(frames)]

    def frames(self) -> SampledFrames:
        return SampledFrames(self.vectors, self.clusters, self.annotated, self.annotated, self.tags)

    def detections(self) -> SampledDetections:
        detections = ClusteredDetections(
            self.features, self.regions, self.categories, self.clusters[self.frame]
        )
        shown = np.ones(len(self.frame), np.bool_)
        return SampledDetections(detections, self.frame, shown, self.wrong)

    def estimated(self) -> EstimatedStream:
        found = estimate_stream(self.frames(), self.detections())
        assert found is not None
        return found

    def true(self, rows: BoolArray) -> float:
        return float(1 - self.wrong[rows].mean())

    @property
    def asked(self) -> BoolArray:
        return ~self.annotated[self.frame]


def unit(rows: FloatArray) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / lengths, np.float32)


def all_frames(found: EstimatedStream) -> EstimatedSlice:
    assert found.slices[0].tag is None
    return found.slices[0]


def test_estimates_follow_what_the_detections_look_like_and_not_the_reference() -> None:
    stream = Stream(1, annotated=160, other=200)
    # Unannotated detections with tag k=1 are likelier to be wrong, by what can be seen of them.
    worse = np.array([tags == (("k", "1"),) for tags in stream.tags])[stream.frame] & stream.asked
    stream.features[worse, 1] += 1.5
    stream.odds[worse] += 1.5 * 1.5
    rng = np.random.default_rng(2)
    stream.wrong[worse] = rng.random(int(worse.sum())) < 1 / (1 + np.exp(-stream.odds[worse]))
    found = stream.estimated()
    by_name = {part.name: part for part in found.slices}
    assert by_name["k=1"].precision == pytest.approx(stream.true(worse), abs=0.06)
    better = stream.asked & ~worse
    assert by_name["k=0"].precision == pytest.approx(stream.true(better), abs=0.06)
    assert found.is_worse(by_name["k=1"])
    assert not found.is_worse(by_name["k=0"])
    assert [part.name for part in found.slices] == ["all", "k=1", "k=0"]
    assert (by_name["k=1"].frames, by_name["k=1"].detections) == (100, 400)
    assert found.reference is not None
    assert found.reference.value == pytest.approx(stream.true(~stream.asked))


@pytest.mark.parametrize("common", [0.0, 1.0])
def test_intervals_hold_the_truth_about_as_often_as_they_say(common: float) -> None:
    held = []
    for seed in range(60):
        stream = Stream(seed, annotated=120, other=160, common=common)
        part = all_frames(stream.estimated())
        assert part.interval is not None
        held.append(part.interval.low <= stream.true(stream.asked) <= part.interval.high)
    assert np.mean(held) >= 0.87


def test_what_a_drives_detections_have_in_common_widens_the_interval() -> None:
    def width(common: float) -> float:
        interval = all_frames(Stream(3, 160, 80, common).estimated()).interval
        assert interval is not None
        return interval.high - interval.low

    assert width(1.5) > 1.3 * width(0.0)


def test_the_interval_is_students_with_the_annotated_drives_less_one() -> None:
    stream = Stream(3, annotated=32, other=80)
    part = all_frames(stream.estimated())
    assert part.interval is not None
    rows, annotated = stream.detections(), ~stream.asked
    fitted = fit_errors(rows.detections.on(annotated), rows.wrong[annotated], rows.shown[annotated])
    predicted = fitted.model.of(rows.detections.on(stream.asked))
    clusters = rows.detections.clusters[stream.asked]
    variance = Residuals.of(fitted).variance(predicted.wrong, clusters)
    variance += fitted.model.variance(predicted)
    half = stats.t.ppf(0.975, MIN_CLUSTERS - 1) * np.sqrt(variance)
    assert part.interval.high - part.interval.value == pytest.approx(half, rel=0.003)


def test_a_category_with_few_examples_is_judged_by_what_it_shares_with_the_others() -> None:
    stream = Stream(4, annotated=200, other=0)
    rows = stream.detections()
    rare = np.arange(len(stream.frame)) < 3
    examples = replace(rows.detections, categories=np.where(rare, 3, stream.categories))
    wrong = np.where(rare, True, stream.wrong)
    model = fit_errors(examples, wrong, np.ones(len(wrong), np.bool_)).model
    likely = model.of(replace(examples, categories=np.full(len(wrong), 3))).wrong
    assert 0.4 < likely.mean() < 0.95
    assert np.corrcoef(likely, stream.features[:, 1])[0, 1] > 0.8


def test_a_category_without_examples_is_judged_by_the_shared_weights() -> None:
    stream = Stream(5, annotated=100, other=0)
    rows = stream.detections()
    model = fit_errors(rows.detections, stream.wrong, np.ones(len(stream.wrong), np.bool_)).model
    unknown = replace(rows.detections, categories=np.full(len(stream.wrong), 99))
    assert np.corrcoef(model.of(unknown).wrong, stream.features[:, 1])[0, 1] > 0.8


def test_nothing_is_estimated_from_too_little() -> None:
    few = Stream(6, annotated=24, other=40)
    assert estimate_stream(few.frames(), few.detections()) is None
    enough = Stream(6, annotated=25, other=40)
    assert estimate_stream(enough.frames(), enough.detections()) is not None
    stream = Stream(6, annotated=80, other=40)
    all_right = replace(stream.detections(), wrong=np.zeros(len(stream.wrong), np.bool_))
    assert estimate_stream(stream.frames(), all_right) is None


def test_there_is_no_interval_where_it_would_not_be_honest() -> None:
    stream = Stream(7, annotated=80, other=60)
    stream.clusters[stream.annotated] //= 4  # five drives of 16 frames
    assert len(np.unique(stream.clusters[stream.annotated])) < MIN_CLUSTERS
    part = all_frames(stream.estimated())
    assert (part.interval, part.no_interval) == (None, NoInterval.FEW_ANNOTATED)

    stream = Stream(7, annotated=80, other=60)
    stream.tags[-10:] = [(("k", "few"),)] * 10
    by_name = {part.name: part for part in stream.estimated().slices}
    assert by_name["k=few"].detections < MIN_DETECTIONS
    assert by_name["k=few"].no_interval is NoInterval.FEW_DETECTIONS
    assert by_name["all"].interval is not None


def test_frames_that_look_like_nothing_annotated_drift_and_have_no_estimate() -> None:
    stream = Stream(8, annotated=120, other=160)
    stream.vectors = unit(np.abs(stream.vectors))
    new = np.array([tags == (("k", "1"),) for tags in stream.tags]) & ~stream.annotated
    stream.vectors[new] *= -1
    found = stream.estimated()
    by_name = {part.name: part for part in found.slices}
    drifted = by_name["k=1"].drift
    assert drifted is not None
    assert drifted.value == 1.0
    assert drifted.low > 0.9
    assert by_name["k=1"].no_interval is NoInterval.UNLIKE_ANNOTATED
    assert (by_name["k=1"].precision, by_name["k=1"].interval) == (None, None)
    assert not found.is_worse(by_name["k=1"])
    assert [part.name for part in found.slices] == ["all", "k=0", "k=1"]
    assert by_name["k=0"].drift is not None
    assert by_name["k=0"].drift.low < 2 * UNLIKE
    assert by_name["k=0"].interval is not None


def test_frames_of_one_drive_alone_say_nothing_of_drift() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(9, 3)))
    assert AnnotatedEmbeddings.of(vectors, np.zeros(9, np.int64)) is None
    known = AnnotatedEmbeddings.of(vectors, np.arange(9))
    assert known is not None
    # A frame is compared with other drives only: with its own, it would be at distance 0.
    assert unlike_share(known.unlike(vectors, np.arange(9)), np.arange(9)) is not None
    assert known.unlike(vectors, np.arange(9)).sum() == 1


def test_the_number_of_slices_is_bounded() -> None:
    stream = Stream(9, annotated=80, other=160)
    stream.tags = [(("cell", str(n)),) for n in range(240)]
    assert len(stream.estimated().slices) == MAX_SHOWN


def test_the_estimate_does_not_depend_on_the_order_of_drives_numbers() -> None:
    stream = Stream(10, annotated=120, other=80)
    before = all_frames(stream.estimated())
    stream.clusters = stream.clusters * 7 + 100
    assert all_frames(stream.estimated()) == before
