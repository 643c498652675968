"""The learner, first of three stages: from labelled regions to failure models.

A region is labelled once its frame is annotated: on reference frames, and on reannotated haystack
frames. Observations and fits so far determine which models are due; every epoch records them.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.contracts.identity import Category, DetectorId, ModelId
from services.domain.failure_modes import FailureMode
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.labelled_regions import MAX_EXAMPLES
from services.retriever.learning.fitted_models import FittedModel, FittedModels
from services.retriever.logic import DetectorCategory
from services.runtime.progress import report_progress

_REFIT_GROWTH = 1.5
"""Refit when the observations have grown by this factor, so that the cost of fitting per example
stays constant."""
_REFIT_GROWTH_WHEN_FULL = 3.0
"""The same once MAX_EXAMPLES examples are fitted: replacing some of them improves the model little,
and changes shortlists."""
EXAMPLES_PER_EPOCH = 10_000
"""Examples that one epoch fits, at least one model. Five full models take some .7 s of a core."""


@dataclass(frozen=True)
class _Fit:
    """What a category's model was fitted to."""

    model_id: str
    examples: int
    observed: int
    modes: frozenset[FailureMode]


FITS: TableSpec[Category, _Fit] = TableSpec("fits", Category, _Fit)
OBSERVED: TableSpec[Category, int] = TableSpec("observed", Category, int)


@dataclass(frozen=True)
class Learned:
    """What the learner passes to the scorer at the end of an epoch.

    Attributes
    ----------
    model_ids : of each category that has a model
    unfinished : whether models wait for a fit that the epoch had no time for
    """

    model_ids: Mapping[DetectorCategory, str]
    unfinished: bool


class Learner:
    """Decides when the failure models of a detector are fitted again.

    Nothing is fitted in the background, so that an epoch's models do not depend on how long a fit
    takes.
    """

    def __init__(self, detector: DetectorId, models: FittedModels, changelog: Changelog) -> None:
        self._detector = detector
        self._models = models
        self._fits = changelog.table(FITS)
        self._observed = changelog.table(OBSERVED)

    async def refit(
        self,
        modes: Mapping[DetectorCategory, Collection[FailureMode]],
        model: ModelId,
        *,
        refresh: bool,
        most_examples: float = EXAMPLES_PER_EPOCH,
    ) -> Learned:
        """Fit the models that are due: the first of a category, for a new mode, for new examples.

        Parameters
        ----------
        modes : the failure modes with needles of each of the detector's categories
        model : the embedding model
        refresh : whether every model is due whose examples may have changed
        most_examples : after so many, models that are due wait for the next epoch
        """
        due, spent = deque(self._due(modes, refresh=refresh)), 0
        while due and spent < most_examples:
            category = due.popleft()
            before = self._fits.get(category)
            fitted = await self._fit(category, modes[self._detector, category], model)
            report_progress()
            if before is None or fitted.model_id != before.model_id:
                spent += fitted.examples
        ids = {
            category: self._fits[category[1]].model_id
            for category in modes
            if category[1] in self._fits
        }
        return Learned(ids, unfinished=bool(due))

    async def model(self, detector_category: DetectorCategory, model: ModelId) -> FittedModel:
        """The model of a category that has one; fitted again if it is not stored any more."""
        _, category = detector_category
        fit = self._fits[category]
        fitted = await self._models.load(detector_category, fit.model_id, model)
        return fitted if fitted is not None else await self._fit(category, fit.modes, model)

    def needs_refit(self, category: Category) -> bool:
        """Whether enough was observed since the last fit to justify another."""
        fit = self._fits[category]
        full = fit.examples >= MAX_EXAMPLES
        return self._observed.get(category, 0) >= max(
            fit.observed + 1, (_REFIT_GROWTH_WHEN_FULL if full else _REFIT_GROWTH) * fit.observed
        )

    def _is_outdated(self, category: Category) -> bool:
        """Whether anything was observed since the last fit."""
        return self._observed.get(category, 0) > self._fits[category].observed

    def _due(
        self, modes: Mapping[DetectorCategory, Collection[FailureMode]], *, refresh: bool
    ) -> list[Category]:
        wanted = {category: frozenset(of_category) for (_, category), of_category in modes.items()}
        fitted = wanted.keys() & self._fits.keys()
        has_new_mode = [
            category
            for category in fitted
            if not self._fits[category].modes.issuperset(wanted[category])
        ]
        grown = filter(self._is_outdated if refresh else self.needs_refit, fitted)
        ordered = (wanted.keys() - fitted, has_new_mode, grown)
        return list(dict.fromkeys(category for part in ordered for category in sorted(part)))

    async def _fit(
        self, category: Category, modes: Collection[FailureMode], model: ModelId
    ) -> FittedModel:
        fitted, labelled = await self._models.fit((self._detector, category), model)
        observed = self._observed[category] = max(self._observed.get(category, 0), labelled)
        self._fits[category] = _Fit(fitted.model_id, fitted.examples, observed, frozenset(modes))
        return fitted
