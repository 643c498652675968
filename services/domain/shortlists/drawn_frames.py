"""Frames that are drawn by chance for shortlists, so that figures of the haystack can be estimated.

Whether a frame is drawn depends neither on other frames, nor on its time of arrival, nor on which
frames were chosen. Its probability is a function of its detections and of settings, and its
permanent random number is a hash of its id. So replicas and replays draw the same frames, and the
choice of frames does not bias the draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.contracts.identity import FrameId, NeedleId, RegionId
from services.domain.metrics.sampled_figures import size_of
from services.domain.statistics.sampling import permanent_number

_EQUAL_SHARE: Final = 0.5
_MAX_SIZE: Final = 2.0
"""So that no frame is drawn more than twice as often as an empty one."""


@dataclass(frozen=True)
class DrawnFrame:
    """A haystack frame that was drawn.

    Attributes
    ----------
    region : the detection that represents it on a shortlist
    probability : with which it was drawn
    needle : whose shortlist has it; None if none has, or if it is on one because it was chosen
    asked : whether a shortlist has had it because it was drawn, so that it may be annotated by now
    """

    region: RegionId
    probability: float
    needle: NeedleId | None = None
    asked: bool = False


def inclusion_probability(shown: Sequence[float], rate: float) -> float:
    """The probability with which a frame is drawn: from 3/4 to 3/2 of the rate.

    Frames on which the detector is unsure are drawn more often. Scores alone decide, because
    failure models change, and a probability must not.

    Parameters
    ----------
    shown : the scores of the detector's detections on the frame, from its operating scores on
    rate : the share of the haystack to draw
    """
    size = min(size_of(shown), _MAX_SIZE)
    return min(1.0, rate * (_EQUAL_SHARE + (1 - _EQUAL_SHARE) * size))


def is_drawn(campaign: str, frame: FrameId, probability: float) -> bool:
    """Whether a frame is drawn in a campaign; a higher probability draws the same frames and more.

    Not by the detector: versions share drawn frames, and so the work of annotating them.
    """
    return permanent_number(campaign, frame) < probability
