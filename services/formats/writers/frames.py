"""The input of exporters: frames with their boxes, and file names that every tool accepts."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from services.contracts.events import Annotation, FrameAnnotated, FrameCaptured, Rle
from services.contracts.identity import Box, Category, FrameId, NeedleId, RegionId
from services.contracts.run_lengths import run_lengths
from services.domain.reannotation import is_reannotated
from services.domain.withdrawal import in_force
from services.formats.masks import MAX_DRAWN_PIXELS

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_STEM_LENGTH = 120
_ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png"}
Files = dict[str, bytes]
"""File contents by path inside the export's folder."""


@dataclass(frozen=True)
class Proposal:
    """A predicted region that an annotator is asked to confirm or reject."""

    region_id: RegionId
    category: Category
    score: float
    bbox: Box
    needle_id: NeedleId | None = None


@dataclass(frozen=True)
class ExportFrame:
    """One frame.

    Attributes
    ----------
    revision : of its latest ground truth, withdrawn or not; 0 if it never had any
    annotations : None if it has no ground truth in force; empty if it has no objects
    complete : whether no annotation that may show an object is missing
    corrected : whether the annotation team has reviewed the whole frame
    is_copy : whether another frame had the same image first
    weight : how often a training set should repeat the frame
    """

    frame_id: FrameId
    media_type: str
    width: int
    height: int
    sha256: str
    captured_at: datetime
    vehicle_id: str
    drive_id: str | None = None
    revision: int = 0
    annotations: tuple[Annotation, ...] | None = None
    proposals: tuple[Proposal, ...] = ()
    complete: bool = True
    corrected: bool = False
    is_copy: bool = False
    weight: int = 1

    @classmethod
    def of(
        cls,
        captured: FrameCaptured,
        truth: FrameAnnotated | None,
        proposals: tuple[Proposal, ...] = (),
    ) -> Self:
        """A frame with its latest ground truth, if it has any, and its proposals.

        Of withdrawn ground truth, only the revision is kept: corrections are changes of it.
        """
        image, annotated = captured.image, in_force(truth)
        return cls(
            frame_id=captured.frame_id,
            media_type=image.media_type,
            width=image.width,
            height=image.height,
            sha256=image.sha256,
            captured_at=captured.captured_at,
            vehicle_id=captured.vehicle_id,
            drive_id=captured.drive_id,
            revision=truth.revision if truth else 0,
            annotations=annotated.annotations if annotated else None,
            proposals=proposals,
            complete=annotated is None or annotated.complete,
            corrected=is_reannotated(annotated),
        )

    @property
    def stem(self) -> str:
        """The stem of its image's file name."""
        return stem_of(self.frame_id)

    @property
    def file_name(self) -> str:
        """The file name of its image."""
        return f"{self.stem}{_ENDINGS[self.media_type]}"


def stem_of(frame_id: FrameId) -> str:
    """A unique file name without extension that every file system accepts."""
    readable = _UNSAFE.sub("_", frame_id)[:_MAX_STEM_LENGTH].lstrip(".")
    if readable == frame_id:
        return readable
    return f"{readable}-{hashlib.sha256(frame_id.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Export:
    """The files of an export.

    Attributes
    ----------
    losses : counts of everything that the format cannot express
    """

    files: Files
    frames: Sequence[ExportFrame]
    losses: Mapping[str, int]


def annotated(frames: Iterable[ExportFrame]) -> list[ExportFrame]:
    """The annotated frames, sorted by id."""
    found = [frame for frame in frames if frame.annotations is not None]
    return sorted(found, key=lambda frame: frame.frame_id)


def labels(frames: Iterable[ExportFrame]) -> list[Category]:
    """Every category, sorted alphabetically."""
    found = {annotation.category for frame in frames for annotation in frame.annotations or ()}
    return sorted(found | {proposal.category for frame in frames for proposal in frame.proposals})


def mask_on(frame: ExportFrame, annotation: Annotation) -> Rle | None:
    """The mask of an annotation, if it is one of the frame's pixels, has any, and can be read."""
    mask = annotation.mask
    if mask is None or mask.size != (frame.height, frame.width):
        return None
    if math.prod(mask.size) > MAX_DRAWN_PIXELS:
        return None
    return mask if any(run_lengths(mask.counts)[1::2]) else None


def lost_masks(frames: Iterable[ExportFrame]) -> dict[str, int]:
    """How many masks a format of masks drops, as they are empty, too large, or of another size."""
    count = sum(
        annotation.mask is not None and mask_on(frame, annotation) is None
        for frame in frames
        for annotation in frame.annotations or ()
    )
    return {"mask": count} if count else {}


def lost(
    frames: Sequence[ExportFrame], requested: Iterable[ExportFrame], *fields: str
) -> dict[str, int]:
    """How much of each kind (`mask`, `crowd`, `ignore`, `area`) a format drops.

    Parameters
    ----------
    requested : all requested frames; those without annotations are counted too
    """
    counts: Counter[str] = Counter()
    for frame in frames:
        for annotation in frame.annotations or ():
            counts.update(name for name in fields if getattr(annotation, name))
    counts["not annotated"] = sum(1 for _ in requested) - len(frames)
    return {name: count for name, count in sorted(counts.items()) if count}
