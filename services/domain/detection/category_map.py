"""How the names of a detector's categories correspond to those of the ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.contracts.events import PredictionsMade
from services.contracts.identity import Category, RegionId

Names = Mapping[Category, Category | None]
"""The ground truth's name of each name of the detector; None for one that is ignored."""


@dataclass(frozen=True)
class NamedPredictions:
    """Predictions by the ground truth's names, without ignored categories.

    Attributes
    ----------
    regions : of each detection, its id; it derives from the detector's own name, so a change of
        names changes no id
    """

    predictions: PredictionsMade
    regions: Sequence[RegionId]


@dataclass(frozen=True)
class CategoryMap:
    """The names of one detector version; a name that is not listed maps to itself.

    Attributes
    ----------
    revision : rises with every change
    """

    names: Names = field(default_factory=dict)
    revision: int = 0

    def named(self, predictions: PredictionsMade) -> NamedPredictions:
        """The predictions as they are matched."""
        regions, found = predictions.region_ids(), predictions.detections
        if self.names.keys().isdisjoint(detection.category for detection in found):
            return NamedPredictions(predictions, regions)
        kept = [
            (region, detection.model_copy(update={"category": name}))
            for region, detection in zip(regions, found, strict=True)
            if (name := self.names.get(detection.category, detection.category)) is not None
        ]
        detections = tuple(detection for _, detection in kept)
        renamed = predictions.model_copy(update={"detections": detections})
        return NamedPredictions(renamed, [region for region, _ in kept])

    def predicted_as(self, category: Category) -> list[Category]:
        """The detector's names that map to a category of the ground truth, sorted."""
        names = {name for name, target in self.names.items() if target == category}
        if category not in self.names:
            names.add(category)
        return sorted(names)


SAME_NAMES = CategoryMap()
"""Every name maps to itself."""


def effective_map(of_detector: CategoryMap, of_version: CategoryMap) -> CategoryMap:
    """The names of a detector version: its own before those of all versions of the detector."""
    return CategoryMap(
        {**of_detector.names, **of_version.names}, of_detector.revision + of_version.revision
    )
