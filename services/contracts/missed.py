"""The annotations that a detector misses, as a part of FrameMatched."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Annotated, Self

from pydantic import Field

from services.contracts.bounds import ObjectCount
from services.contracts.columns import MAX_GROUPS, MAX_ROWS, BoxColumn, CodeColumn, Columns
from services.contracts.events import AnyBox
from services.contracts.identity import RegionId
from services.contracts.names import AnyRegionId


@dataclass(frozen=True)
class MissedAnnotation:
    """An annotated object that no detection at or above the operating score found at IoU .5.

    Attributes
    ----------
    region : the annotation's id
    area_range : 1 small, 2 medium, 3 large
    """

    region: RegionId
    bbox: AnyBox
    area_range: int


class MissedAnnotations(Columns):
    """The annotations that no detection at or above the operating score found, group by group.

    They are neither crowd nor ignored, and found means at IoU .5. `area_ranges` numbers each one's
    range: 1 small, 2 medium, 3 large.
    """

    sizes: Annotated[tuple[ObjectCount, ...], Field(max_length=MAX_GROUPS)]
    regions: Annotated[tuple[AnyRegionId, ...], Field(max_length=MAX_ROWS)]
    bboxes: BoxColumn
    area_ranges: CodeColumn

    def check(self) -> None:
        count = sum(self.sizes)
        lengths = (len(self.regions), len(self.bboxes), len(self.area_ranges))
        if lengths != (count, 32 * count, count):
            raise ValueError("the missed annotations' columns differ in length")

    @classmethod
    def of(cls, groups: Iterable[Sequence[MissedAnnotation]]) -> Self:
        """The columns of these groups, in their order."""
        groups = list(groups)
        rows = list(chain.from_iterable(groups))
        return cls(
            sizes=tuple(map(len, groups)),
            regions=tuple(row.region for row in rows),
            bboxes=array("d", chain.from_iterable(row.bbox for row in rows)).tobytes(),
            area_ranges=bytes(row.area_range for row in rows),
        )

    def by_group(self) -> list[tuple[MissedAnnotation, ...]]:
        """The missed annotations of each group."""
        boxes = array("d", self.bboxes)
        rows = [
            MissedAnnotation(region, (*boxes[4 * at : 4 * at + 4],), area_range)  # type: ignore[arg-type]  # four numbers
            for at, (region, area_range) in enumerate(
                zip(self.regions, self.area_ranges, strict=True)
            )
        ]
        ends = accumulate(self.sizes)
        return [tuple(rows[end - size : end]) for size, end in zip(self.sizes, ends, strict=True)]

    def taken(self, places: Sequence[int]) -> Self:
        """The columns of some groups, by their places, in this order."""
        groups = self.by_group()
        return self.of(groups[place] for place in places)

    def with_empty(self, groups: int) -> Self:
        """The columns with so many more groups, which have none."""
        return self.model_copy(update={"sizes": (*self.sizes, *(0,) * groups)})
