from dataclasses import replace

from prometheus_client import REGISTRY

from services.contracts.events import PredictionsMade
from services.formats.adjustments import Adjustment
from services.formats.detection_limit import highest_scored
from tests.unit.ingest.test_publishing import FOUND, Ingest, ingest, located

__all__ = ["ingest"]


def test_the_highest_scores_are_kept_in_their_order_and_the_first_of_ties() -> None:
    scores = [0.2, 0.9, 0.5, 0.5, 0.1]
    assert highest_scored(scores, float, 3) == (0.9, 0.5, 0.5)
    assert highest_scored(list(enumerate(scores)), lambda score: score[1], 2) == (
        (1, 0.9),
        (2, 0.5),
    )
    assert highest_scored(scores, float, 5) == tuple(scores)


async def test_detections_beyond_the_limit_are_left_out_counted_and_told(ingest: Ingest) -> None:
    def counted() -> float:
        name = "gazeloop_detections_left_out_total"
        return REGISTRY.get_sample_value(name, {"way": "import"}) or 0.0

    before = counted()
    ingest.settings = ingest.settings.model_copy(update={"max_detections_per_frame": 2})
    scores = [0.3, 0.9, 0.1, 0.8]
    found = [FOUND.model_copy(update={"score": score}) for score in scores]
    item = ingest.frame()
    many = replace(item, detections=located(*found))
    summary = await ingest.run(many, ingest.frame("f2"))
    first, second = ingest.published(PredictionsMade)
    assert isinstance(first, PredictionsMade)
    assert [detection.score for detection in first.detections] == [0.9, 0.8]
    assert isinstance(second, PredictionsMade)
    assert second.detections == (FOUND,)
    assert summary.adjusted[Adjustment.DETECTIONS_OVER_LIMIT] == 2
    assert not summary.rejected
    assert counted() - before == 2
