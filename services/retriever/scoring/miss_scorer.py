"""The scorer of the strategy `missed-objects`: from unsure detections to candidates.

It learns, per detector, how many objects are missed on a frame, from the reference and the
reannotated frames. A haystack frame is worth what is expected on it, and its candidate in a
category is the surest detection below the operating score: the place to look at first.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.arrays import FloatArray
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Method
from services.domain.missed.evidence import FrameSums, evidence
from services.domain.missed.expected import MissModel
from services.domain.ports.frames import FrameStore
from services.domain.shortlists.scored_candidates import Key, ScoredCandidate
from services.domain.statistics.sampling import fixed_sample
from services.domain.statistics.standardisation import Standardisation
from services.retriever import logic
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.labelled_regions import missed_at
from services.retriever.learning.learner import Learned
from services.retriever.learning.match_cache import MatchCache
from services.retriever.logic import DetectorCategory, FrameFacts
from services.retriever.scoring.frame_table import FrameTable
from services.retriever.scoring.scorer import FittedTo, Queries, Scored
from services.runtime.progress import report_progress
from services.runtime.settings import Settings

_REFIT_GROWTH = 1.05
"""Refit when there are so many times the annotated frames of the last fit."""
_MAX_LABELLED = 5_000
"""Annotated frames that a model is fitted to; more take seconds and change little."""


class NoFailureModels:
    """The learner of this strategy: there are no false positives to classify."""

    async def refit(self, *_: object, **__: object) -> Learned:
        """Nothing is fitted, and nothing waits."""
        return Learned({}, unfinished=False)


@dataclass(frozen=True)
class _Fit:
    """The model of a detector.

    Attributes
    ----------
    mean, deviation : of the features, see `Standardisation`
    weights : see `MissModel`
    categories : its groups
    model_id : a hash of what it was fitted to
    frames : how many annotated frames that were
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]
    categories: tuple[Category, ...]
    model_id: str
    frames: int

    @property
    def model(self) -> MissModel:
        """The model."""
        standardisation = Standardisation(np.array(self.mean), np.array(self.deviation))
        return MissModel(standardisation, np.array(self.weights))


MISS_FIT: TableSpec[str, _Fit] = TableSpec("miss_fit", str, _Fit)
_ONLY = ""
"""The key of its one row."""


class MissScorer:
    """Scores the haystack frames of one detector.

    Parameters
    ----------
    table : with every frame that the detector has predicted; None to read them before the first
        score
    """

    def __init__(
        self,
        detector: DetectorId,
        frames: FrameStore,
        matches: MatchCache,
        settings: Settings,
        changelog: Changelog,
        *,
        table: FrameTable | None = None,
    ) -> None:
        self._detector = detector
        self._store = frames
        self._matches = matches
        self._is_loaded = table is not None
        self._table = table or FrameTable(detector, settings)
        self._fit_of_detector = changelog.table(MISS_FIT)

    @property
    def loaded_table(self) -> FrameTable | None:
        """The table of frames; None while it lacks those of epochs before this scorer's."""
        return self._table if self._is_loaded else None

    @property
    def _fit(self) -> _Fit | None:
        return self._fit_of_detector.get(_ONLY)

    async def score(
        self,
        model_ids: Mapping[DetectorCategory, str],
        frames: Mapping[FrameId, FrameFacts],
        queries: Queries,
    ) -> Scored:
        """Score new frames and their neighbours; all frames by a new model or for a new category.

        Parameters
        ----------
        model_ids : of failure models, which misses do not need
        """
        del model_ids
        if not self._is_loaded:
            await self._load()
        self._table.put(frames.values())
        modes = {category: modes for category, modes in queries.modes().items() if modes}
        is_labelled = any(
            not self._table.is_listable(frame) for frame in frames if frame in self._table
        )
        is_new = (is_labelled or not frames) and await self._refit(refresh=not frames)
        replaces = is_new or any(queries.joined().values())
        places = self._table.frames() if replaces else self._table.around(frames)
        candidates: Mapping[Key, list[ScoredCandidate]] = {}
        if self._fit is not None:
            candidates = await asyncio.to_thread(self._candidates, self._fit, places, queries)
        return Scored(
            model_ids={} if self._fit is None else {c: self._fit.model_id for _, c in modes},
            rescored=modes.keys(),
            replaced=modes.keys() if replaces else (),
            candidates=candidates,
            fits=self._fits(modes),
        )

    async def follow(self, frames: Collection[FrameId]) -> None:
        """Take note of frames that another process has scored."""
        if self._is_loaded:
            records = (await self._store.load(frames)).values()
            facts = await asyncio.to_thread(lambda: [*map(FrameFacts.of, records)])
            self._table.put(item for item in facts if item is not None)

    async def unsupported(self, *_: object) -> set[FrameId]:
        """No frame: what is expected on a frame has no bound below which it is refuted."""
        return set()

    async def _load(self) -> None:
        async for records in self._store.predicted(self._detector):
            facts = await asyncio.to_thread(lambda records: [*map(FrameFacts.of, records)], records)
            self._table.put(item for item in facts if item is not None)
            report_progress()
        self._is_loaded = True

    async def _refit(self, *, refresh: bool) -> bool:
        """Fit again if enough frames were annotated; returns whether the model is another."""
        categories = sorted(self._table.categories)
        labelled: dict[FrameId, dict[Category, int]] = defaultdict(dict)
        for category in categories:
            least = self._table.operating_score(category)
            for match in await self._matches.of((self._detector, category)):
                labelled[match.frame_id][category] = missed_at(match, least)
        # A sample: ids often begin with a time, so the first ones may be of one drive.
        in_table = (frame for frame in labelled if frame in self._table)
        known = fixed_sample(self._detector, in_table, _MAX_LABELLED)
        before = self._fit
        if before is not None and not refresh and len(known) < _REFIT_GROWTH * before.frames:
            return False
        model_id = _digest([(frame, labelled[frame]) for frame in known], categories)
        if before is not None and before.model_id == model_id:
            return False
        missed = np.array(
            [[labelled[frame].get(category, 0) for category in categories] for frame in known],
            np.float64,
        ).reshape(len(known), len(categories))
        features = self._features(known, categories)
        model = await asyncio.to_thread(MissModel.fit, features, missed)
        if model is None:
            return False
        self._fit_of_detector[_ONLY] = _Fit(
            tuple(model.standardisation.mean.tolist()),
            tuple(model.standardisation.deviation.tolist()),
            tuple(model.weights.tolist()),
            tuple(categories),
            model_id,
            len(known),
        )
        return True

    def _features(self, frames: Sequence[FrameId], categories: Sequence[Category]) -> FloatArray:
        """(F, C, K), computed with the neighbours along the drives."""
        around = sorted(self._table.around(frames))
        rows = {frame: row for row, frame in enumerate(around)}
        sums: FrameSums = self._table.sums(around, categories)
        return evidence(sums)[[rows[frame] for frame in frames]]

    def _candidates(
        self, fit: _Fit, frames: Collection[FrameId], queries: Queries
    ) -> dict[Key, list[ScoredCandidate]]:
        listable = sorted(frame for frame in frames if self._table.is_listable(frame))
        found: dict[Key, list[ScoredCandidate]] = {}
        if not listable:
            return found
        expected = fit.model.expected(self._features(listable, fit.categories))
        total = expected.sum(axis=1)
        for (detector, category), modes in queries.modes().items():
            if category not in fit.categories:
                continue
            of_category = expected[:, fit.categories.index(category)]
            # The probability that at least one is missed, as the numbers are Poisson.
            probability = 1 - np.exp(-of_category)
            regions = [self._table.surest_unshown(frame, category) for frame in listable]
            for mode in modes:
                family = queries.exemplars((detector, category), mode).families[0]
                candidates = [
                    ScoredCandidate(
                        region,
                        self._table.context(frame),
                        float(total[row] * probability[row]),
                        float(probability[row]),
                        family,
                    )
                    for row, (frame, region) in enumerate(zip(listable, regions, strict=True))
                    if region is not None
                ]
                if candidates:
                    found[logic.key_of((detector, category), mode)] = candidates
        return found

    def _fits(
        self, modes: Mapping[DetectorCategory, Collection[FailureMode]]
    ) -> dict[Key, FittedTo]:
        fitted_to = self._fit.frames if self._fit is not None else 0
        return {
            logic.key_of(category, mode): FittedTo(Method.POISSON, fitted_to)
            for category, modes_of in modes.items()
            for mode in modes_of
        }


def _digest(
    labels: Iterable[tuple[FrameId, Mapping[Category, int]]], categories: Sequence[Category]
) -> str:
    content = orjson.dumps([list(labels), categories], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:16]
