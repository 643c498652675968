"""Read the frames of CVAT's finished jobs as ground truth."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from services.contracts.errors import InvalidRecord
from services.formats.cvat_masks import CvatMask
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.readers.cvat_shapes import (
    drawn_mask,
    drawn_polygon,
    drawn_rectangle,
    require_decided,
)
from services.formats.readers.returned import (
    DrawnBox,
    Manifest,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)

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
    frame = ReturnedFrame(frame_id, size, source.location, annotated_by=job_frame["annotator"])
    return [version_of(frame, job_frame["shapes"], partial(_drawn, size))]


def _drawn(size: Size, shape: "Shape") -> DrawnBox:
    kind, points = shape["type"], shape["points"]
    if kind == "polygon":
        return drawn_polygon(shape["label"], points, shape["attributes"])
    if kind == "mask" and len(points) > _CORNERS:
        return drawn_mask(shape["label"], CvatMask.of_points(points), size, shape["attributes"])
    if kind == "rectangle" and len(points) == _CORNERS:
        left, top, right, bottom = points
        corners = (left, top, right, bottom)
        return drawn_rectangle(shape["label"], corners, shape["rotation"], shape["attributes"])
    if kind == "track":
        detail = "tracks are not read: draw a shape on each frame"
        raise InvalidRecord(detail, reason="unsupported_shape")
    raise InvalidRecord(f"a {kind:.40} has no box", reason="unsupported_shape")
