"""Failure models as bytes: numpy's archive of their arrays.

The vectors of the true positives are left out: the vector store has them, and an erased one must
not stay here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from services.contracts.events import ErrorType
from services.contracts.identity import Category, RegionId
from services.domain.arrays import Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import FailureModel, LearntModes
from services.domain.mining.logistic import Logistic
from services.domain.mining.principal_components import PrincipalComponents
from services.domain.shortlists.candidate_scoring import CategoryModel
from services.domain.shortlists.strategies import CategoryStats
from services.domain.statistics.standardisation import Standardisation

Arrays = Mapping[str, NDArray[Any]]
_FACTS: Final = "facts"


def encoded(
    category_model: CategoryModel, examples: int, right_regions: Sequence[RegionId]
) -> bytes:
    """The model as bytes.

    Parameters
    ----------
    examples : how many it was fitted to
    right_regions : those of them that are true positives
    """
    model, stats = category_model.model, category_model.stats
    facts = {
        "examples": examples,
        "right_regions": right_regions,
        "wrong_share": model.wrong_share,
        "ground_truths": stats.ground_truths,
        "thresholds": stats.matched.shape[1],
        "modes": None if model.learnt is None else [tuple(mode) for mode in model.learnt.columns],
    }
    arrays: dict[str, Any] = {
        _FACTS: np.frombuffer(orjson.dumps(facts), np.uint8),
        "scores": stats.scores,
        "matched": np.packbits(stats.matched, axis=1),
    }
    if (learnt := model.learnt) is not None:
        arrays |= {
            "weights": learnt.model.weights,
            "intercepts": learnt.model.intercepts,
            "mean": learnt.components.mean,
            "basis": learnt.components.basis,
            "feature_mean": learnt.standardisation.mean,
            "feature_deviation": learnt.standardisation.deviation,
        }
    content = BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@dataclass(frozen=True)
class StoredModel:
    """A model without the vectors of its true positives."""

    examples: int
    right_regions: Sequence[RegionId]
    wrong_share: float
    learnt: LearntModes | None
    stats: CategoryStats

    def category_model(self, vectors: Mapping[RegionId, Vectors]) -> CategoryModel | None:
        """The model with these vectors; None if one of its true positives has none."""
        if any(region not in vectors for region in self.right_regions):
            return None
        rows = [vectors[region] for region in self.right_regions]
        right = np.stack(rows) if rows else np.empty((0, 0), np.float32)
        return CategoryModel(FailureModel(right, self.wrong_share, self.learnt), self.stats)


def decoded(content: bytes) -> StoredModel:
    """The model that was stored as these bytes."""
    with np.load(BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    facts = orjson.loads(arrays[_FACTS].tobytes())
    matched = np.unpackbits(arrays["matched"], axis=1, count=facts["thresholds"])
    stats = CategoryStats(arrays["scores"], matched.astype(np.bool_), facts["ground_truths"])
    return StoredModel(
        facts["examples"],
        [RegionId(region) for region in facts["right_regions"]],
        facts["wrong_share"],
        None if facts["modes"] is None else _learnt(arrays, facts["modes"]),
        stats,
    )


def _learnt(arrays: Arrays, modes: Sequence[tuple[str, str | None]]) -> LearntModes:
    named = [
        FailureMode(ErrorType(error), None if true_category is None else Category(true_category))
        for error, true_category in modes
    ]
    return LearntModes(
        {mode: column for column, mode in enumerate(named, start=1)},
        Logistic(arrays["weights"], arrays["intercepts"]),
        PrincipalComponents(arrays["mean"], arrays["basis"]),
        Standardisation(arrays["feature_mean"], arrays["feature_deviation"]),
    )
