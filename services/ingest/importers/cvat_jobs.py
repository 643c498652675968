"""Frames of CVAT's finished jobs, as its interface gives them, come back as ground truth."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.ingest.importers.returned import Manifest, annotation, frame_of, one_of, returned
from services.ingest.items import Dataset, Disputed, FrameItem, Located

if TYPE_CHECKING:  # the SDK is an extra
    from services.ingest.cvat.server import JobFrame, Shape

_CORNERS = 4


def read_cvat_jobs(frames: "Sequence[JobFrame]", sent: Manifest) -> Dataset:
    """The frames of finished jobs.

    A frame on which a proposal is neither confirmed nor deleted is not finished, and refused. Of a
    frame that is in several jobs, all versions are given where their annotators disagree.
    """
    by_name: dict[str, list[JobFrame]] = {}
    for each in frames:
        by_name.setdefault(each["name"], []).append(each)
    sources = [Located(same, _location(name, same)) for name, same in by_name.items()]
    return Dataset("cvat", len(sources), returned(sources, partial(_versions, sent)))


def _location(name: str, frames: "Sequence[JobFrame]") -> str:
    jobs = ", ".join(str(each["job"]) for each in frames)
    return f"cvat job {jobs}: {name}"


def _versions(sent: Manifest, source: "Located[list[JobFrame]]") -> FrameItem | Disputed:
    frames = [_frame(sent, Located(each, source.location)) for each in source.value]
    return one_of(frames, source.location)


def _frame(sent: Manifest, source: "Located[JobFrame]") -> FrameItem:
    job_frame = source.value
    frame = sent.of(job_frame["name"])
    found = [_annotation(shape, frame.size) for shape in job_frame["shapes"]]
    return frame_of(frame, found, source.location, annotated_by=job_frame["annotator"])


def _annotation(shape: "Shape", size: tuple[int, int]) -> Annotation:
    if shape["type"] != "rectangle" or len(shape["points"]) != _CORNERS:
        raise InvalidRecord(f"a {shape['type']:.40} has no box", reason="unsupported_shape")
    if shape["rotation"]:
        raise InvalidRecord("a rectangle is turned; boxes are upright", reason="rotated_box")
    said = shape["attributes"]
    if said.get("proposal") == "true":
        raise InvalidRecord("a proposal is not decided yet", reason="unfinished_task")
    left, top, right, bottom = shape["points"]
    return annotation(
        shape["label"],
        (left, top, right, bottom),
        size,
        crowd=said.get("crowd") == "true",
        ignore=said.get("ignore") == "true",
    )
