"""Read the frames of CVAT's finished jobs as ground truth."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from services.contracts.errors import InvalidRecord
from services.formats.items import Dataset, Located
from services.formats.readers.cvat import drawn_by_cvat, require_decided
from services.formats.readers.returned import Drawn, Frame, Manifest, Version, returned, version_of

if TYPE_CHECKING:  # the SDK is an extra
    from services.annotation.cvat.server import JobFrame, Shape

_CORNERS = 4


def read_cvat_jobs(frames: "Sequence[JobFrame]", sent: Manifest) -> Dataset:
    """The frames of finished jobs.

    A frame with a proposal that is neither confirmed nor deleted is unfinished, and refused. A
    frame in several jobs is yielded once for each.
    """
    sources = [Located(frame, f"cvat job {frame['job']}: {frame['name']}") for frame in frames]
    return Dataset("cvat", len(sources), returned(sources, partial(_versions, sent)))


def _versions(sent: Manifest, source: "Located[JobFrame]") -> Sequence[Version]:
    job_frame = source.value
    frame_id, size = sent.of(job_frame["name"]).frame_id, job_frame["size"]
    require_decided(shape["attributes"] for shape in job_frame["shapes"])
    frame = Frame(frame_id, size, source.location, annotated_by=job_frame["annotator"])
    return [version_of(frame, job_frame["shapes"], _drawn)]


def _drawn(shape: "Shape") -> Drawn:
    if shape["type"] != "rectangle" or len(shape["points"]) != _CORNERS:
        raise InvalidRecord(f"a {shape['type']:.40} has no box", reason="unsupported_shape")
    left, top, right, bottom = shape["points"]
    corners = (left, top, right, bottom)
    return drawn_by_cvat(shape["label"], corners, shape["rotation"], shape["attributes"])
