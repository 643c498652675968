"""Epochs: when a detector's shortlists are allocated, and from what.

An epoch is what a detector's allocator consumed up to recorded offsets. Its shortlists follow from
that and from the shortlists of the epoch before, so a replay of the recorded epochs gives the same
shortlists, whatever the order of events inside an epoch.

Frames listed early cannot be withdrawn, because an annotator's list does not change during work,
and while an import runs, models get better and better frames arrive. So the whole budget is
released only after growth slows down. In a continuous stream that happens while it flows; after an
import, in the first epoch without events. Until then a small share of the budget is released, so
that annotators have work. It is too small to change the quality of shortlists measurably.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypedDict

from services.contracts.identity import Category, DetectorId

MAX_GROWTH = 0.05
WINDOW = 30
"""Epochs. Frames are listed if the haystack and the examples grew by at most MAX_GROWTH in so many:
a minute, so a stream or an import of constant rate gets there after twenty minutes, whatever its
rate. An import that takes less is listed as a whole; docs/measurements/shortlists.md."""

MIN_EARLY_EXAMPLES = 50
"""Before that, only modes whose failure model has so many examples are listed: with fewer, early
frames fail in the needle's own mode less often than later ones."""


class Size(NamedTuple):
    """How much an epoch had to allocate from.

    Attributes
    ----------
    haystack : the number of haystack frames
    observed : the number of events so far that may change the examples of failure models
    """

    haystack: int
    observed: int


@dataclass(frozen=True)
class Epoch:
    """What the shortlists of one detector were allocated from.

    Attributes
    ----------
    number : from 1, without a gap
    offsets : the next offset to consume of each `topic/partition`
    models : the id of each category's failure model
    sizes : of this epoch and of up to WINDOW before it, the oldest first
    budget : the number of haystack frames that may be listed once growth has slowed down
    settled : whether it has
    released : the number of haystack frames that may be listed in this epoch
    settled_budget : the budget of the last settled epoch, this one included; 0 before the first
    starts : the first offset of each `topic/partition` from which on all records up to `offsets`
        were consumed; 0 where missing. Earlier ones may have been skipped
    """

    detector: DetectorId
    number: int
    offsets: Mapping[str, int]
    models: Mapping[Category, str]
    sizes: Sequence[Size]
    budget: int
    settled: bool
    released: int
    settled_budget: int
    starts: Mapping[str, int] = field(default_factory=dict)

    def has_consumed(self, name: str, offset: int) -> bool:
        """Whether it, or an epoch before it, has consumed a record of a `topic/partition`."""
        return self.starts.get(name, 0) <= offset < self.offsets.get(name, 0)


def next_epoch(
    before: Epoch | None,
    detector: DetectorId,
    consumed: Mapping[str, range],
    size: Size,
    budget: int,
    *,
    is_empty: bool,
) -> Epoch:
    """The epoch that consumed these records, with nothing released yet.

    Parameters
    ----------
    consumed : the offsets of its records by `topic/partition`
    is_empty : whether it consumed no events
    """
    if before is None:
        return Epoch(
            detector,
            number=1,
            offsets={name: records.stop for name, records in consumed.items()},
            models={},
            sizes=(size,),
            budget=budget,
            settled=False,
            released=0,
            settled_budget=0,
            starts={name: records.start for name, records in consumed.items()},
        )
    sizes = (*before.sizes, size)[-1 - WINDOW :]
    return replace(
        before,
        number=before.number + 1,
        sizes=sizes,
        budget=budget,
        settled=is_settled(sizes) or is_empty,
        **_merged(before, consumed),
    )


class _Merged(TypedDict):
    offsets: Mapping[str, int]
    starts: Mapping[str, int]


def _merged(before: Epoch, consumed: Mapping[str, range]) -> _Merged:
    offsets, starts = dict(before.offsets), dict(before.starts)
    for name, records in consumed.items():
        end = offsets.get(name, 0)
        if records.start > end:
            # Whoever sets a group's offset to a later one may set it back: what was skipped then
            # comes after what is consumed now, and was not consumed.
            starts[name] = records.start
        offsets[name] = max(end, records.stop)
    return {"offsets": offsets, "starts": starts}


def includes(epoch: Epoch, consumed: Mapping[str, range]) -> bool:
    """Whether an epoch and those before it have consumed all of these records, if there are any.

    A batch is delivered again when the process ended after its epoch was recorded.
    """
    return bool(consumed) and all(
        epoch.has_consumed(name, records.start) and epoch.has_consumed(name, records.stop - 1)
        for name, records in consumed.items()
    )


def is_settled(sizes: Sequence[Size]) -> bool:
    """Whether so little is new that frames may be listed.

    Parameters
    ----------
    sizes : of the epoch and of those before it, the oldest first
    """
    if len(sizes) <= WINDOW:
        return False
    then, now = sizes[0], sizes[-1]
    return all(n <= before * (1 + MAX_GROWTH) for before, n in zip(then, now, strict=True))


def with_release(epoch: Epoch, before: Epoch | None, share: float) -> Epoch:
    """The epoch with the number of haystack frames that may be listed in it.

    That is the whole budget if it is settled. If not, it is what was released before; and once per
    WINDOW, a share of what the budget has grown since the last settled epoch.

    Parameters
    ----------
    share : in [0, 1]
    """
    if epoch.settled:
        return replace(epoch, released=epoch.budget, settled_budget=epoch.budget)
    if before is None:
        return epoch
    released, settled_budget = before.released, before.settled_budget
    if epoch.number % WINDOW == 0:
        released = settled_budget + int(share * max(0, epoch.budget - settled_budget))
    return replace(epoch, released=released, settled_budget=settled_budget)
