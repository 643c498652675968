"""The pools in memory that figures of all matches are computed from."""

from collections import defaultdict
from collections.abc import Sequence

from services.contracts.identity import DetectorId
from services.contracts.matches import CategoryMatched
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.confusion import ConfusionPool
from services.domain.metrics.lift import LiftPool
from services.domain.metrics.match_columns import sound_matches
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.slices import TaggedFrames
from services.domain.metrics.subsets import Subset


class MatchPools:
    """What figures need of all matches; erased frames go by making new pools."""

    def __init__(self, operating: OperatingScores) -> None:
        self.operating = operating
        self.state = MatchState(operating)
        self.tagged = TaggedFrames()
        self.lift: defaultdict[DetectorId, LiftPool] = defaultdict(lambda: LiftPool(operating))
        self.confusions: defaultdict[DetectorId, ConfusionPool] = defaultdict(
            lambda: ConfusionPool(operating)
        )

    def put(self, matches: Sequence[CategoryMatched]) -> None:
        """Add matches, or replace them."""
        # As in the evaluator: matches that it refused as events are stored nevertheless.
        sound = sound_matches(matches)
        for match in sound:
            self.lift[match.detector].put(match)
            self.confusions[match.detector].put(match)
            self.tagged.put(match.frame_id, match.tags)
        self.state.add(sound)

    @property
    def frames(self) -> int:
        """The number of frames, summed over detectors."""
        return sum(self.state.frame_count(name, Subset.ALL) for name in self.state.detectors())
