"""Measures how long needles wait for their first shortlist."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.contracts.events import FrameEmbedded
from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.contracts.needles import NeedleFound, NeedleRetracted
from services.domain.ports.needles import NeedleRecord
from services.runtime.observability import freshness, metrics


class _Awaited(NamedTuple):
    """The frame of a needle that waits for its first shortlist, and since when it waits."""

    frame_id: FrameId
    detector: DetectorId
    since: float
    """When the broker took the needle or its region's vector, whichever was later."""


class AwaitedNeedles:
    """Needles that no epoch has considered yet; a restart empties this."""

    def __init__(self) -> None:
        self._awaited: dict[NeedleId, _Awaited] = {}
        self._freshness = metrics.FRESHNESS_SECONDS.labels("needle_to_shortlist")

    def note(
        self,
        needles: Sequence[NeedleFound | NeedleRetracted],
        records: Mapping[NeedleId, NeedleRecord],
    ) -> None:
        """Start the clock of needles without a shortlist."""
        for needle in needles:
            taken_at, record = freshness.taken_at(needle), records.get(needle.needle_id)
            # None if the store could not read it, and has reported that.
            if record is None or not record.active:
                self._awaited.pop(needle.needle_id, None)
            elif record.shortlist is None and taken_at is not None:
                awaited = _Awaited(needle.frame_id, needle.detector, taken_at)
                self._awaited.setdefault(needle.needle_id, awaited)

    def note_embedded(self, embedded: Sequence[FrameEmbedded]) -> None:
        """Start the clock of a needle again when its region's vector arrives after it."""
        taken = {item.frame_id: freshness.taken_at(item) or 0.0 for item in embedded}
        for needle_id, item in self._awaited.items():
            if taken.get(item.frame_id, 0.0) > item.since:
                self._awaited[needle_id] = item._replace(since=taken[item.frame_id])

    def note_published(self, needle_id: NeedleId, now: datetime) -> None:
        """Stop the clock of a needle."""
        awaited = self._awaited.pop(needle_id, None)
        if awaited is not None:
            self._freshness.observe(freshness.age_s(awaited.since, now))

    def forget_unlisted(self, waiting: Collection[NeedleId], held: Collection[DetectorId]) -> None:
        """Forget needles that a settled epoch found no candidates for.

        Candidates that they may get much later do not count toward latency.

        Parameters
        ----------
        waiting : needles whose region has no vector yet
        held : detectors of which too much is new for all frames to be listed
        """
        self._awaited = {
            needle_id: awaited
            for needle_id, awaited in self._awaited.items()
            if needle_id in waiting or awaited.detector in held
        }
