"""The summary of a publishing run: counts, and refused records."""

from collections import Counter
from dataclasses import dataclass, field

from services.contracts.events import Event, FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.identity import FrameId
from services.formats.adjustments import Adjustment
from services.formats.items import FrameItem, RecordKind, Rejection

LISTED_PARTIAL = 1000
"""Maximum number of partial frames that a summary lists; all are counted."""
LISTED_REJECTIONS = 1000
"""Maximum number of rejections that a summary lists; all are counted, and are dead letters."""


@dataclass
class Count:
    """Events of one type: acknowledged in this run, or known from an earlier one."""

    published: int = 0
    known: int = 0

    @property
    def total(self) -> int:
        """All events of this type."""
        return self.published + self.known


@dataclass
class Summary:
    """The counts of a publishing run so far."""

    done: int = 0
    """Finished frames, including refused ones; for a progress bar."""
    frames: Count = field(default_factory=Count)
    predictions: Count = field(default_factory=Count)
    """One for each frame and detector."""
    ground_truth: Count = field(default_factory=Count)
    """One for each frame; known are also corrections that were held, and are settled."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Refused records of any kind, by reason."""
    rejected_of_kind: Counter[tuple[RecordKind, str]] = field(default_factory=Counter)
    """Those of them that are frames or boxes, by record kind and reason."""
    boxes: Counter[RecordKind] = field(default_factory=Counter)
    """Accepted detections and annotations, including known ones."""
    held: Counter[str] = field(default_factory=Counter)
    """Held corrections, by their question."""
    adjusted: Counter[Adjustment] = field(default_factory=Counter)
    """Repairs, by kind."""
    adjusted_at: dict[Adjustment, str] = field(default_factory=dict)
    """The location of the first repair of each kind."""
    unpredicted: set[FrameId] = field(default_factory=set)
    """Frames whose detections were all refused."""
    rejections: list[Rejection] = field(default_factory=list)
    """The first rejections, in the data set's order."""
    partial_predictions: int = 0
    partial_ground_truth: int = 0
    """Events that are not complete, because parts of them were refused."""
    partial_frames: dict[FrameId, None] = field(default_factory=dict)
    """The first frames with either, in the data set's order."""
    erased: int = 0
    """Frames that were left out, because they were erased on request."""
    copies: int = 0
    """Frames whose image an earlier frame of the data set has."""
    _pictures: set[int] = field(default_factory=set, repr=False, compare=False)

    def count_of(self, event: Event) -> Count:
        """The count that an event belongs to."""
        match event:
            case FrameCaptured():
                return self.frames
            case PredictionsMade():
                return self.predictions
            case _:
                return self.ground_truth

    def add_boxes(self, event: Event) -> None:
        """Count the boxes of an acknowledged event of this run or an earlier one."""
        match event:
            case PredictionsMade():
                self.boxes[RecordKind.DETECTION] += len(event.detections)
            case FrameAnnotated():
                self.boxes[RecordKind.ANNOTATION] += len(event.annotations)

    @property
    def accepted_frames(self) -> int:
        """The number of accepted events of frames, including held corrections."""
        counts = (self.frames, self.predictions, self.ground_truth)
        return sum(count.total for count in counts) + self.held.total()

    def accepted(self, kind: RecordKind) -> int:
        """The number of accepted records of a kind, including known ones."""
        return self.accepted_frames if kind is RecordKind.FRAME else self.boxes[kind]

    def wholly_refused(self) -> dict[RecordKind, Counter[str]]:
        """Kinds of which records were refused and none accepted, with the reasons' counts."""
        refused: dict[RecordKind, Counter[str]] = {}
        for (kind, reason), count in self.rejected_of_kind.items():
            if not self.accepted(kind):
                refused.setdefault(kind, Counter())[reason] += count
        return refused

    def add_adjustments(self, item: FrameItem) -> None:
        """Add a frame's repairs."""
        self.adjusted.update(+item.adjustments)
        if item.adjustments[Adjustment.NO_DETECTIONS_LEFT]:
            self.unpredicted.add(item.frame_id)
        for adjustment in +item.adjustments:
            self.adjusted_at.setdefault(adjustment, item.location)

    def note(self, draft: Event) -> None:
        """Count events that are not complete, and copies."""
        match draft:
            case FrameCaptured():
                # Eight bytes of the digest save memory, and collisions among millions are unlikely.
                picture = int(draft.image.sha256[:16], 16)
                self.copies += picture in self._pictures
                self._pictures.add(picture)
            case PredictionsMade(complete=False):
                self.partial_predictions += 1
                self._list(draft.frame_id)
            case FrameAnnotated(complete=False):
                self.partial_ground_truth += 1
                self._list(draft.frame_id)

    def _list(self, frame_id: FrameId) -> None:
        if len(self.partial_frames) < LISTED_PARTIAL:
            self.partial_frames[frame_id] = None

    def add_rejection(self, rejection: Rejection) -> None:
        """Count a rejection, and list it while there is room."""
        self.rejected[rejection.reason] += 1
        kind = RecordKind.FRAME if rejection.whole_frame else rejection.kind
        if kind is not None:
            self.rejected_of_kind[kind, rejection.reason] += 1
        if len(self.rejections) < LISTED_REJECTIONS:
            self.rejections.append(rejection)
