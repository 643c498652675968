"""The evaluator's figures as Prometheus gauges."""

from collections.abc import Mapping

from prometheus_client import Gauge

from services.contracts.identity import DetectorId
from services.domain.subsets import Subset
from services.evaluator.logic import Evaluation, order_holds
from services.runtime import metrics

_NAMED = {"AP": metrics.MAP, "AP50": metrics.MAP_AP50, "AP75": metrics.MAP_AP75}
_OPERATING = {
    "precision": metrics.OPERATING_PRECISION,
    "recall": metrics.OPERATING_RECALL,
    "f1": metrics.OPERATING_F1,
    "mean_iou": metrics.OPERATING_MEAN_IOU,
}
_COUNTS = {
    "frames": metrics.EVALUATED_FRAMES,
    "detections": metrics.EVALUATED_DETECTIONS,
    "ground_truths": metrics.EVALUATED_GROUND_TRUTHS,
}
_ALL = (
    *_NAMED.values(),
    *_OPERATING.values(),
    *_COUNTS.values(),
    metrics.CATEGORY_AP,
    metrics.FALSE_POSITIVES,
    metrics.ORDER_HOLDS,
)


class Gauges:
    """Sets what is defined, and takes away what no longer is: a gauge never shows a stand-in."""

    def clear(self) -> None:
        """Show nothing."""
        for gauge in _ALL:
            gauge.clear()

    def show(self, detector: DetectorId, evaluations: Mapping[Subset, Evaluation]) -> None:
        """Show one detector's figures on every subset."""
        name = metrics.DETECTORS(detector)
        for subset, said in evaluations.items():
            for key, gauge in _NAMED.items():
                _set(gauge, said.numbers[key], name, subset.value)
            for key, gauge in _OPERATING.items():
                _set(gauge, getattr(said.operating, key), name, subset.value)
            for key, gauge in _COUNTS.items():
                _set(gauge, getattr(said, key), name, subset.value)
            for kind, count in said.operating.errors.items():
                _set(metrics.FALSE_POSITIVES, count, name, subset.value, kind.value)
            for category, ap in said.categories.items():
                label = metrics.CATEGORIES(category)
                _set(metrics.CATEGORY_AP, ap, name, subset.value, label)
        order = order_holds({subset: said.numbers["AP"] for subset, said in evaluations.items()})
        _set(metrics.ORDER_HOLDS, order, name)


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    if value is not None:
        gauge.labels(*labels).set(value)
        return
    try:
        gauge.remove(*labels)
    except KeyError:  # it was not shown before either
        return
