"""How far a frame has come in the pipeline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.contracts.events import FrameAnnotated, PredictionsMade
from services.domain.ports.frames import FrameRecord


@dataclass(frozen=True)
class PipelineStep:
    """One step of a frame's pipeline history.

    Attributes
    ----------
    at : None if the step is not done, or was done before its time was recorded
    """

    name: str
    done: bool
    text: str = ""
    at: datetime | None = None


class ResultCounts(NamedTuple):
    """Numbers of categories matched, of needles on the frame, and of shortlists that name it."""

    matches: int
    needles: int
    shortlists: int


def pipeline_steps(
    record: FrameRecord,
    truth: FrameAnnotated | None,
    times: Mapping[str, datetime],
    counts: ResultCounts,
) -> list[PipelineStep]:
    """Every step, done or not, in the order of the pipeline.

    Parameters
    ----------
    times : when the frame's parts were stored, as from `FrameTimes.of`
    """
    matches, needles, shortlists = counts
    shortlisted = f"for {_counted(shortlists, 'needle', 'needles')}"
    return [
        *_captured(record, times),
        *_predicted(record, times),
        _annotated(truth, times),
        *_embedded(times),
        _done(
            "Matched", times.get("matched"), _counted(matches, "category", "categories"), matches
        ),
        _done(
            "Needles found", times.get("needles"), _counted(needles, "needle", "needles"), needles
        ),
        _done("Shortlisted", times.get("shortlisted"), shortlisted, shortlists),
    ]


def _captured(record: FrameRecord, times: Mapping[str, datetime]) -> Iterator[PipelineStep]:
    captured = record.captured
    if captured is None:
        yield PipelineStep("Captured", done=False)
    else:
        by = f"by {captured.vehicle_id}"
        yield PipelineStep("Captured", done=True, text=by, at=captured.captured_at)
    received_at = times.get("captured")
    yield PipelineStep("Stored", done=captured is not None, at=received_at)


def _predicted(record: FrameRecord, times: Mapping[str, datetime]) -> Iterator[PipelineStep]:
    for detector, predictions in record.predictions.items():
        count = _counted(len(predictions.detections), "detection", "detections")
        text = f"{count} of {detector}{_partial(predictions)}"
        yield PipelineStep(
            "Predicted", done=True, text=text, at=times.get(f"predictions {detector}")
        )
    if not record.predictions:
        yield PipelineStep("Predicted", done=False, text="no predictions yet")


def _annotated(truth: FrameAnnotated | None, times: Mapping[str, datetime]) -> PipelineStep:
    at = times.get("ground_truth")
    if truth is None:
        return PipelineStep("Annotated", done=False, text="not yet", at=at)
    objects = _counted(len(truth.annotations), "object", "objects")
    text = f"revision {truth.revision}, {objects}{_partial(truth)}"
    return PipelineStep("Annotated", done=True, text=text, at=at)


def _embedded(times: Mapping[str, datetime]) -> Iterator[PipelineStep]:
    embedded = sorted(name for name in times if name.startswith("embedded "))
    for name in embedded:
        model = name.removeprefix("embedded ")
        yield PipelineStep("Embedded", done=True, text=model, at=times[name])
    if not embedded:
        yield PipelineStep("Embedded", done=False, text="not yet")


def _done(name: str, at: datetime | None, text: str, count: int) -> PipelineStep:
    return PipelineStep(name, count > 0, text, at if count else None)


def _partial(part: FrameAnnotated | PredictionsMade) -> str:
    return "" if part.complete else ", partial"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
