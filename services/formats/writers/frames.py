"""What an exporter is given: frames with what is known of them, under names that any tool takes."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from services.contracts.events import REANNOTATION_SOURCE, Annotation, FrameAnnotated, FrameCaptured
from services.contracts.identity import Box, Category, FrameId, NeedleId, RegionId

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_STEM = 120
_ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png"}
Files = dict[str, bytes]
"""Contents by path inside the export's folder."""


@dataclass(frozen=True)
class Proposal:
    """A predicted region that an annotator is asked about."""

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
    revision : of its ground truth; 0 where nobody has annotated it
    annotations : none where nobody has; empty where there is nothing
    complete : whether no annotation is missing that may show an object
    corrected : whether the annotation team has looked at all of it again
    is_copy : whether another frame showed the same picture first
    weight : how often a detector should see it while it learns
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
        """A frame with its latest ground truth, if it has any, and what is proposed on it."""
        image = captured.image
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
            annotations=truth.annotations if truth else None,
            proposals=proposals,
            complete=truth is None or truth.complete,
            corrected=(
                truth is not None
                and truth.complete
                and truth.annotation_source == REANNOTATION_SOURCE
            ),
        )

    @property
    def stem(self) -> str:
        """Of its image's file name."""
        return stem_of(self.frame_id)

    @property
    def file_name(self) -> str:
        """Of its image."""
        return f"{self.stem}{_ENDINGS[self.media_type]}"


def stem_of(frame_id: FrameId) -> str:
    """A file name that no other frame has, and every file system takes."""
    readable = _UNSAFE.sub("_", frame_id)[:_LONGEST_STEM].lstrip(".")
    if readable == frame_id:
        return readable
    return f"{readable}-{hashlib.sha256(frame_id.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Export:
    """What was made of the frames.

    Attributes
    ----------
    losses : what the format cannot say, counted; nothing is left out unsaid
    """

    files: Files
    frames: Sequence[ExportFrame]
    losses: Mapping[str, int]


def annotated(frames: Iterable[ExportFrame]) -> list[ExportFrame]:
    """The frames that somebody has annotated, in the order of their ids."""
    found = [frame for frame in frames if frame.annotations is not None]
    return sorted(found, key=lambda frame: frame.frame_id)


def labels(frames: Iterable[ExportFrame]) -> list[Category]:
    """Every category, in the order of the alphabet."""
    found = {annotation.category for frame in frames for annotation in frame.annotations or ()}
    return sorted(found | {proposal.category for frame in frames for proposal in frame.proposals})


def lost(frames: Sequence[ExportFrame], given: Iterable[ExportFrame], *what: str) -> dict[str, int]:
    """How much of each kind (`mask`, `crowd`, `ignore`, `area`) a format drops.

    Parameters
    ----------
    given : all frames that were asked for; those without annotations are counted too
    """
    counts: Counter[str] = Counter()
    for frame in frames:
        for annotation in frame.annotations or ():
            counts.update(name for name in what if getattr(annotation, name))
    counts["not annotated"] = sum(1 for _ in given) - len(frames)
    return {name: count for name, count in sorted(counts.items()) if count}
