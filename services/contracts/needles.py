"""The events of needles and their shortlists."""

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.bounds import (
    MAX_CANDIDATES,
    MAX_EXACT,
    MAX_INT32,
    CaptureTime,
    Rank,
    Revision,
    Share,
)
from services.contracts.events import AnyBox, ErrorType, Event, Rle, Sampling, Strict
from services.contracts.identity import FrameId
from services.contracts.names import (
    AnyCategory,
    AnyDetectorId,
    AnyDriveId,
    AnyFrameId,
    AnyModelId,
    AnyNeedleId,
    AnyRegionId,
)


class _NeedleEvent(Event):
    needle_id: AnyNeedleId
    revision: Revision
    frame_id: AnyFrameId
    detector: AnyDetectorId
    category: AnyCategory

    def source(self) -> tuple[object, ...]:
        return (self.needle_id, self.revision)

    def key(self) -> str:
        return self.needle_id


class NeedleFound(_NeedleEvent):
    """A failure on a reference frame: a false positive at or above the operating score, or a miss.

    A miss is of an annotation: its region id derives from the annotation, and its score is 0.
    """

    type: Literal["NeedleFound"] = "NeedleFound"
    region_id: AnyRegionId
    score: Share
    bbox: AnyBox
    error_type: ErrorType
    annotation_id: AnyRegionId | None = None
    """Of a miss: the annotation that no detection found."""
    mask: Rle | None = None
    true_category: AnyCategory | None = None
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime


class NeedleRetracted(_NeedleEvent):
    """A correction cleared the needle: the detector was right, or no longer says so."""

    type: Literal["NeedleRetracted"] = "NeedleRetracted"


class Candidate(Strict):
    """A haystack region that would fail as the needle does, and why we think so."""

    frame_id: AnyFrameId
    region_id: AnyRegionId
    category: AnyCategory
    score: Share
    bbox: AnyBox
    similarity: Rank
    """Cosine to the needle's region vector."""
    evidence: Rank
    """What candidates are ranked by, highest first."""
    probability: Share | None = None
    """That the region fails in the needle's mode; None where no model was fitted."""
    sampling: Sampling | None = None
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime
    image_uri: Annotated[str, Field(max_length=1000)]


class Provenance(Strict):
    """How a shortlist was made."""

    model: AnyModelId
    strategy: Annotated[str, Field(max_length=100)]
    """Of the strategy: `worst-frames`, `costliest-errors`, `label-efficiency`, `missed-objects`."""
    size_limit: Annotated[int, Field(ge=0, le=MAX_INT32)]
    method: Annotated[str, Field(max_length=100)] = "similarity"
    """How evidence was computed: `logistic`, `contrast`, `similarity`, or `poisson` for misses."""


class ShortlistPublished(Event):
    """A needle's ranked candidates, all of them; none any more when the needle is retracted."""

    type: Literal["ShortlistPublished"] = "ShortlistPublished"
    needle_id: AnyNeedleId
    revision: Revision
    needle: NeedleFound
    candidates: Annotated[tuple[Candidate, ...], Field(max_length=MAX_CANDIDATES)]
    provenance: Provenance
    epoch: Annotated[int, Field(ge=0, le=MAX_EXACT)] | None = None
    """The allocator's epoch that published this revision."""

    def chosen_frames(self) -> set[FrameId]:
        """The frames that it retrieves, which are S; those drawn by chance are not."""
        return {item.frame_id for item in self.candidates if item.sampling is None}

    def source(self) -> tuple[object, ...]:
        return (self.needle_id, self.revision)

    def key(self) -> str:
        return self.needle_id
