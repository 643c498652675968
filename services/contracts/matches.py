"""FrameMatched: how one detector's detections on one frame match the frame's ground truth.

On the wire the columns are bytes, because they are nearly all of an event; services read one
category at a time, as `CategoryMatched`.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field

from services.contracts.bounds import MAX_COORDINATE, MAX_EXACT, MIN_SIDE, CaptureTime, ObjectCount
from services.contracts.columns import (
    MAX_GROUPS,
    MAX_ROWS,
    BoxColumn,
    CodeColumn,
    Columns,
    Float64Column,
    WordColumn,
    check_column,
)
from services.contracts.events import (
    FALSE_POSITIVES,
    SCHEMA_VERSION,
    AnyBox,
    ErrorType,
    FrameEvent,
    IouType,
    Split,
    Strict,
)
from services.contracts.identity import Category, DetectorId, DriveId, FrameId, RegionId, VehicleId
from services.contracts.missed import MissedAnnotations
from services.contracts.names import (
    AnyCategory,
    AnyDetectorId,
    AnyDriveId,
    AnyRegionId,
    AnyVehicleId,
    Tags,
)

ROWS_AT_ONCE: Final = 2_000
"""Detections from which a frame's groups are divided over several records: about 300 kB."""
ERROR_CODES: Final[Mapping[ErrorType | None, int]] = {None: 0} | {
    e: 1 + k for k, e in enumerate(FALSE_POSITIVES)
}
"""How a column of bytes names error types."""
_ERRORS: Final = tuple(ERROR_CODES)
_BITS: Final = 1 << 40


_Counts = tuple[ObjectCount, ObjectCount, ObjectCount, ObjectCount]
_Part = Annotated[int, Field(ge=0, le=MAX_EXACT)]


class MatchRevisions(Strict):
    """The revisions of the parts that a match depends on; none of them ever decreases.

    A match that was read from a version 1 event has its revision, their sum, as `membership`.
    """

    truth: _Part = 0
    predictions: _Part = 0
    membership: _Part = 0
    categories: _Part = 0
    """Of the detector's category map."""

    @property
    def total(self) -> int:
        """Rises with each part, so of two matches of one frame the higher one is newer."""
        return self.truth + self.predictions + self.membership + self.categories

    def identity(self) -> tuple[int, ...]:
        """The parts; an unmapped match has the id that it had before there were maps."""
        parts = (self.truth, self.predictions, self.membership)
        return (*parts, self.categories) if self.categories else parts


@dataclass(frozen=True)
class CategoryMatch:
    """The match of one category on one frame: parallel columns, by descending score."""

    regions: tuple[RegionId, ...] = ()
    bboxes: tuple[AnyBox, ...] = ()
    scores: tuple[float, ...] = ()
    matched: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    overlaps: tuple[float, ...] = ()
    errors: tuple[ErrorType | None, ...] = ()
    true_categories: tuple[Category | None, ...] = ()
    ground_truths: tuple[int, int, int, int] = (0, 0, 0, 0)


class MatchGroups(Columns):
    """The matches of some categories on one frame: a table whose rows are detections.

    Group `k` is category `categories[k]`, whose `sizes[k]` detections follow those of group
    `k - 1`, in descending score, at most 100. Bit `10 * area + threshold` of `matched` and
    `ignored` stands for one of four area ranges (all, small, medium, large) and ten IoU thresholds
    (.50 to .95). A group without detections and ground truths replaces one
    that had some.
    """

    categories: Annotated[tuple[AnyCategory, ...], Field(max_length=MAX_GROUPS)] = ()
    sizes: Annotated[tuple[ObjectCount, ...], Field(max_length=MAX_GROUPS)] = ()
    ground_truths: Annotated[tuple[_Counts, ...], Field(max_length=MAX_GROUPS)] = ()
    """The number that counts (neither crowd nor ignored), per area range."""
    regions: Annotated[tuple[AnyRegionId, ...], Field(max_length=MAX_ROWS)] = ()
    bboxes: BoxColumn = b""
    scores: Float64Column = b""
    matched: WordColumn = b""
    ignored: WordColumn = b""
    overlaps: Float64Column = b""
    """IoU with the ground truth matched at .5; 0 where there is none."""
    errors: CodeColumn = b""
    """False positives at IoU .5: 0 none, 1 classification, 2 localization, 3 both, 4 duplicate,
    5 background."""
    true_categories: Annotated[tuple[AnyCategory | None, ...], Field(max_length=MAX_ROWS)] = ()
    """For a classification error, the category of the ground truth that it was confused with."""
    missed: MissedAnnotations | None = None
    """None where the writer does not say what was missed."""

    def check(self) -> None:
        count = sum(self.sizes)
        lengths = {
            *(len(self.regions), len(self.true_categories), len(self.errors)),
            *(len(c) / 8 for c in (self.scores, self.overlaps, self.matched, self.ignored)),
            len(self.bboxes) / 32,
        }
        groups = {len(self.sizes), len(self.ground_truths)}
        if lengths != {count} or groups != {len(self.categories)}:
            raise ValueError("the detections' columns differ in length")
        if self.missed is not None and len(self.missed.sizes) != len(self.categories):
            raise ValueError("the missed annotations have other groups")
        check_column(array("d", self.scores), 0, 1, "a score")
        check_column(array("d", self.overlaps), 0, 2, "an overlap")
        boxes = array("d", self.bboxes)
        check_column(boxes, -MAX_COORDINATE, MAX_COORDINATE, "a box")
        check_column((*boxes[2::4], *boxes[3::4]), MIN_SIDE, MAX_COORDINATE, "a box's side")
        check_column(array("Q", self.matched), 0, _BITS - 1, "matched")
        check_column(array("Q", self.ignored), 0, _BITS - 1, "ignored")
        check_column(self.errors, 0, len(FALSE_POSITIVES), "an error")

    @classmethod
    def of(
        cls,
        matches: Mapping[Category, CategoryMatch],
        missed: MissedAnnotations | None = None,
    ) -> Self:
        """The table of these categories, in their order.

        Parameters
        ----------
        missed : in groups of the same order
        """
        return cls(**_columns_of(matches), missed=missed)

    @classmethod
    def of_valid(cls, matches: Mapping[Category, CategoryMatch]) -> "MatchGroups":
        """The same of matches that an event's validation has accepted, without validation."""
        return cls.model_construct(**_columns_of(matches))

    def by_category(self) -> dict[Category, CategoryMatch]:
        """The match of each category, in the table's order."""
        boxes = array("d", self.bboxes)
        columns: tuple[Sequence[Any], ...] = (
            self.regions,
            [(*boxes[at : at + 4],) for at in range(0, len(boxes), 4)],
            array("d", self.scores),
            array("Q", self.matched),
            array("Q", self.ignored),
            array("d", self.overlaps),
            [_ERRORS[code] for code in self.errors],
            self.true_categories,
        )
        found = {}
        for k, (first, last) in enumerate(self._bounds()):
            rows: list[Any] = [tuple(column[first:last]) for column in columns]
            rows.append(self.ground_truths[k])
            found[self.categories[k]] = CategoryMatch(*rows)
        return found

    def taken(self, places: Sequence[int]) -> Self:
        """The table of some groups, by their places, in this order."""
        every = self._bounds()
        bounds = [every[k] for k in places]

        def bytes_of(column: bytes, size: int) -> bytes:
            return b"".join(column[size * first : size * last] for first, last in bounds)

        def rows_of(column: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(chain.from_iterable(column[first:last] for first, last in bounds))

        # Rows of a table that is valid: to check them again takes most of the time.
        return self.model_copy(
            update={
                "categories": tuple(self.categories[k] for k in places),
                "sizes": tuple(self.sizes[k] for k in places),
                "ground_truths": tuple(self.ground_truths[k] for k in places),
                "regions": rows_of(self.regions),
                "bboxes": bytes_of(self.bboxes, 32),
                "scores": bytes_of(self.scores, 8),
                "matched": bytes_of(self.matched, 8),
                "ignored": bytes_of(self.ignored, 8),
                "overlaps": bytes_of(self.overlaps, 8),
                "errors": bytes_of(self.errors, 1),
                "true_categories": rows_of(self.true_categories),
                "missed": self.missed and self.missed.taken(places),
            }
        )

    def with_vanished(self, categories: Iterable[Category]) -> Self:
        """The table with an empty group for each of these categories that it lacks."""
        gone = sorted(set(categories).difference(self.categories))
        if not gone:
            return self
        nothing = (0,) * len(gone)
        return self.model_copy(
            update={
                "categories": (*self.categories, *gone),
                "sizes": (*self.sizes, *nothing),
                "ground_truths": (*self.ground_truths, *((0, 0, 0, 0) for _ in gone)),
                "missed": self.missed and self.missed.with_empty(len(gone)),
            }
        )

    def _bounds(self) -> list[tuple[int, int]]:
        """The rows of each group: first, and last + 1."""
        ends = list(accumulate(self.sizes))
        return [(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]


def _columns_of(matches: Mapping[Category, CategoryMatch]) -> dict[str, Any]:
    groups = matches.values()

    def joined(name: str) -> Iterable[Any]:
        return chain.from_iterable(getattr(group, name) for group in groups)

    return {
        "categories": tuple(matches),
        "sizes": tuple(len(group.scores) for group in groups),
        "ground_truths": tuple(group.ground_truths for group in groups),
        "regions": tuple(joined("regions")),
        "bboxes": array("d", chain.from_iterable(joined("bboxes"))).tobytes(),
        "scores": array("d", joined("scores")).tobytes(),
        "matched": array("Q", joined("matched")).tobytes(),
        "ignored": array("Q", joined("ignored")).tobytes(),
        "overlaps": array("d", joined("overlaps")).tobytes(),
        "errors": bytes(ERROR_CODES[error] for error in joined("errors")),
        "true_categories": tuple(joined("true_categories")),
    }


class FrameMatched(FrameEvent):
    """One detector's detections on one frame, matched by COCO's rules.

    A record holds the frame's categories that share a partition of the topic; a category that was
    there before and vanished comes as an empty group. Each record is the full state of its groups.
    """

    # Without the validator that turns version 1 into 2: see `version_1.FrameMatched`.
    schema_version: Literal[2] = SCHEMA_VERSION
    type: Literal["FrameMatched"] = "FrameMatched"
    detector: AnyDetectorId
    revisions: MatchRevisions
    split: Split
    shortlisted: bool
    reannotated: bool = False
    """Whether the ground truth came from reannotation, which makes each region a verdict."""
    vehicle_id: AnyVehicleId
    drive_id: AnyDriveId | None = None
    captured_at: CaptureTime
    iou_type: IouType = "bbox"
    tags: Tags | None = None
    """The frame's."""
    groups: MatchGroups

    @property
    def revision(self) -> int:
        """The sum of the revisions: the highest one counts."""
        return self.revisions.total

    def source(self) -> tuple[object, ...]:
        return (
            self.frame_id,
            self.detector,
            self.groups.categories,
            *self.revisions.identity(),
        )

    def key(self) -> str:
        # With a category: a topic of version 1 is compacted, and keeps one record per key.
        return f"{self.detector}|{self.frame_id}|{self.partitioned_by()}"

    def partitioned_by(self) -> str:
        """A category, so that one evaluator owns all of a category; AP is per category."""
        return self.groups.categories[0] if self.groups.categories else self.frame_id

    def divided(self, partition: Callable[[str], int]) -> "list[FrameMatched]":
        """One event per partition, and more where one would be too large for a record.

        Parameters
        ----------
        partition : the partition of `gaze.matches` to which a category belongs
        """
        places: dict[int, list[list[int]]] = {}
        rows: dict[int, int] = {}
        for k, category in enumerate(self.groups.categories):
            number = partition(category)
            rows[number] = rows.get(number, ROWS_AT_ONCE + 1) + self.groups.sizes[k]
            if rows[number] > ROWS_AT_ONCE:
                places.setdefault(number, []).append([])
                rows[number] = self.groups.sizes[k]
            places[number][-1].append(k)
        taken = [groups for _, parts in sorted(places.items()) for groups in parts]
        if len(taken) == 1:
            return [self]
        return [self.model_copy(update={"groups": self.groups.taken(groups)}) for groups in taken]


@dataclass(frozen=True)
class CategoryMatched:
    """One category of a FrameMatched, with what the event says of the whole frame."""

    frame_id: FrameId
    detector: DetectorId
    category: Category
    revision: int
    split: Split
    shortlisted: bool
    vehicle_id: VehicleId
    drive_id: DriveId | None
    captured_at: datetime
    regions: tuple[RegionId, ...]
    bboxes: tuple[AnyBox, ...]
    scores: tuple[float, ...]
    matched: tuple[int, ...]
    ignored: tuple[int, ...]
    overlaps: tuple[float, ...]
    errors: tuple[ErrorType | None, ...]
    true_categories: tuple[Category | None, ...]
    ground_truths: tuple[int, int, int, int]
    reannotated: bool = False
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it has neither detections nor ground truths, as where the category vanished.

        An undo and incomplete predictions leave such matches, so they do not show that the
        detector processed the frame.
        """
        return not self.regions and not any(self.ground_truths)


def categories_of(matches: Iterable[FrameMatched]) -> list[CategoryMatched]:
    """Every category of these matches, in their order."""
    return [
        CategoryMatched(
            frame_id=match.frame_id,
            detector=match.detector,
            category=category,
            revision=match.revision,
            split=match.split,
            shortlisted=match.shortlisted,
            vehicle_id=match.vehicle_id,
            drive_id=match.drive_id,
            captured_at=match.captured_at,
            reannotated=match.reannotated,
            tags=tuple(sorted((match.tags or {}).items())),
            **vars(rows),
        )
        for match in matches
        for category, rows in match.groups.by_category().items()
    ]
