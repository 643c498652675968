"""Epochs: when a detector's shortlists are allocated, and from what.

An epoch is what a detector's allocator consumed up to recorded offsets. Its shortlists follow from
that and from the shortlists of the epoch before, so a replay of the recorded epochs gives the same
shortlists, whatever the order of events inside an epoch.

While an import runs, what is known grows all the time: models get better, and the best frames are
still to come. A frame that is listed then would be listed for want of better ones, and it stays,
because an annotator's list does not change during work. So the whole budget is listed only once
growth has slowed down. A continuous stream reaches that while it flows; after an import, the first
epoch without events does. Until then a small share of the budget is released, so that annotators
have work: so little that it costs no quality that can be measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.contracts.identity import Category, DetectorId

GROWTH_MAX = 0.05
WINDOW = 30
"""Epochs. Frames are listed if the haystack and the examples grew by at most GROWTH_MAX in so many:
a minute, so a stream or an import of constant rate gets there after twenty minutes, whatever its
rate. An import that takes less is listed as a whole; docs/measurements/shortlists.md."""

EARLY_EXAMPLES_MIN = 50
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


def next_epoch(
    before: Epoch | None,
    detector: DetectorId,
    offsets: Mapping[str, int],
    size: Size,
    budget: int,
    *,
    is_empty: bool,
) -> Epoch:
    """The epoch that ends at these offsets, with nothing released yet.

    Parameters
    ----------
    is_empty : whether it consumed no events
    """
    if before is None:
        return Epoch(
            detector,
            number=1,
            offsets=dict(offsets),
            models={},
            sizes=(size,),
            budget=budget,
            settled=False,
            released=0,
            settled_budget=0,
        )
    merged = {
        name: max(before.offsets.get(name, 0), offsets.get(name, 0))
        for name in sorted(before.offsets.keys() | offsets.keys())
    }
    sizes = (*before.sizes, size)[-1 - WINDOW :]
    return replace(
        before,
        number=before.number + 1,
        offsets=merged,
        sizes=sizes,
        budget=budget,
        settled=is_settled(sizes) or is_empty,
    )


def ends_at(epoch: Epoch, offsets: Mapping[str, int]) -> bool:
    """Whether an epoch has consumed all up to these offsets, of which there are some.

    Its batch is delivered again when the process ended after its epoch was recorded.
    """
    return bool(offsets) and all(
        offset <= epoch.offsets.get(name, 0) for name, offset in offsets.items()
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
    return all(n <= before * (1 + GROWTH_MAX) for before, n in zip(then, now, strict=True))


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
