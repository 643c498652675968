"""The frames of one detector that are drawn by chance, and the shortlists that they are on."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from services.contracts.events import Sampling
from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.contracts.needles import Candidate
from services.domain.shortlists.drawn_frames import DrawnFrame, inclusion_probability, is_drawn
from services.domain.statistics.sampling import permanent_number
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.logic import FrameFacts, surest
from services.runtime.settings import Settings

DRAWN: TableSpec[FrameId, DrawnFrame] = TableSpec("drawn", FrameId, DrawnFrame)
_CAMPAIGN: Final = "shortlists"


class DrawnFrames:
    """Draws frames as they come, and keeps those that are drawn.

    A frame without a detection cannot be on a shortlist, so it is not drawn.
    """

    def __init__(self, detector: DetectorId, settings: Settings, changelog: Changelog) -> None:
        self._detector = detector
        self._settings = settings
        self._operating = settings.operating_scores
        self._campaign = f"{_CAMPAIGN}-{settings.split_seed}"
        self._rows = changelog.table(DRAWN)
        self._waiting: dict[FrameId, None] = {}
        """Those on no shortlist as drawn frames."""
        self._of_needle: defaultdict[NeedleId, set[FrameId]] = defaultdict(set)

    def restore(self) -> None:
        """Restore the state in the changelog. Call this once, before anything else."""
        for frame, row in self._rows.items():
            self._index(frame, row)

    @property
    def rows(self) -> Mapping[FrameId, DrawnFrame]:
        """All frames that are drawn."""
        return self._rows

    def take_over(self, earlier: "DrawnFrames") -> None:
        """Keep what was drawn before, on no shortlist yet."""
        for frame, row in earlier.rows.items():
            self._put(frame, replace(row, needle=None))

    def note(self, frames: Mapping[FrameId, FrameFacts]) -> set[NeedleId]:
        """Draw among frames that are new or changed; returns the needles that lost one."""
        lost = set()
        for frame, facts in sorted(frames.items()):
            row = self._rows.get(frame)
            if row is not None and (facts.reannotated or row.region in facts.regions):
                continue
            if row is not None:
                lost |= self.remove(frame)
            if (drawn := self._drawn(facts)) is not None:
                self._put(frame, drawn)
        return lost

    def needle(self, frame: FrameId) -> NeedleId | None:
        """The needle whose shortlist has the frame because it was drawn."""
        row = self._rows.get(frame)
        return row.needle if row is not None else None

    def waiting(self) -> list[tuple[FrameId, DrawnFrame]]:
        """The frames on no shortlist as drawn frames, in the order of their ids."""
        return [(frame, self._rows[frame]) for frame in sorted(self._waiting)]

    def place(self, frame: FrameId, needles: Collection[NeedleId]) -> NeedleId:
        """Put a waiting frame on the shortlist of one of these needles, by a hash of its id.

        Parameters
        ----------
        needles : not empty
        """
        among = sorted(needles)
        needle = among[int(permanent_number("needle", frame) * len(among))]
        row = self._rows[frame]
        self._put(frame, replace(row, needle=needle, asked=True))
        return needle

    def keep_listed(self, candidate: Candidate, needle: NeedleId) -> None:
        """Keep a drawn frame on the shortlist that has it."""
        assert candidate.sampling is not None
        probability = candidate.sampling.probability
        row = DrawnFrame(candidate.region_id, probability, needle, asked=True)
        self._put(candidate.frame_id, row)

    def release(self, frame: FrameId) -> set[NeedleId]:
        """Take a frame off the shortlist that has it, if any; returns its needle."""
        row = self._rows.get(frame)
        if row is None or row.needle is None:
            return set()
        self._put(frame, replace(row, needle=None))
        return {row.needle}

    def release_needle(self, needle: NeedleId) -> None:
        """Take all frames off the shortlist of a needle."""
        for frame in sorted(self._of_needle.get(needle, ())):
            self.release(frame)

    def remove(self, frame: FrameId) -> set[NeedleId]:
        """Forget a frame that is gone, or changed; returns the needle that had it."""
        lost = self.release(frame)
        self._waiting.pop(frame, None)
        del self._rows[frame]
        return lost

    def sampling(self, frame: FrameId) -> Sampling:
        """How a frame was drawn."""
        return Sampling(campaign=self._campaign, probability=self._rows[frame].probability)

    def _drawn(self, facts: FrameFacts) -> DrawnFrame | None:
        settings, frame = self._settings, facts.context.frame
        rate = settings.sampled_share * settings.shortlist_budget
        if not rate:
            return None
        found = facts.drawable(
            self._detector, settings.split_rule, count_copies=settings.count_copies
        )
        if not found:
            return None
        least = self._operating.of
        shown = [s.score for s in found.values() if s.score >= least(*s.detector_category)]
        probability = inclusion_probability(shown, rate)
        if not is_drawn(self._campaign, frame, probability):
            return None
        return DrawnFrame(surest(found), probability)

    def _put(self, frame: FrameId, row: DrawnFrame) -> None:
        before = self._rows.get(frame)
        if before is not None and before.needle is not None:
            self._of_needle[before.needle].discard(frame)
            if not self._of_needle[before.needle]:
                del self._of_needle[before.needle]
        self._rows[frame] = row
        self._index(frame, row)

    def _index(self, frame: FrameId, row: DrawnFrame) -> None:
        if row.needle is None:
            self._waiting[frame] = None
            return
        self._waiting.pop(frame, None)
        self._of_needle[row.needle].add(frame)
