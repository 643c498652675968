"""The frames behind a count of true positives, false positives or missed objects."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.metrics.outcomes import (
    FoundObjects,
    FoundRegion,
    Outcome,
    OutcomeFilter,
    selected,
)
from services.domain.metrics.subsets import Subset
from services.domain.ports.matches import MatchStore

_PAGE = 48
_MAX_READ = 20_000
"""Matches that one request reads; a rarer outcome is searched further by the next request."""
_MAX_LENGTH = 200


@dataclass(frozen=True)
class CountedFrame:
    """A frame with its counted detections by descending score, or its number of missed objects."""

    frame_id: FrameId
    count: int
    regions: Sequence[FoundRegion]


@dataclass(frozen=True)
class FramePage:
    """Some frames by ascending id.

    Attributes
    ----------
    after : the frame after which the search continues; None if all were read
    """

    frames: Sequence[CountedFrame]
    after: FrameId | None


@dataclass(frozen=True)
class CountedView:
    """A list of frames as its URL names it."""

    detector: DetectorId
    wanted: OutcomeFilter
    after: FrameId | None = None
    tag: str = ""
    """Of the frames, as `key=value`; empty for all frames."""

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Self | None:
        """The view that a URL's parameters name; None if they name none."""
        outcome = next((item for item in Outcome if item == params.get("outcome")), None)
        subset = next((item for item in Subset if item == params.get("subset", "all")), None)
        try:
            score = float(params.get("score", ""))
        except ValueError:
            return None
        if outcome is None or subset is None or not 0 <= score <= 1:
            return None
        texts = {name: params.get(name, "")[:_MAX_LENGTH] for name in _TEXTS}
        category, true_category = Category(texts["category"]), Category(texts["true_category"])
        wanted = OutcomeFilter(outcome, score, category or None, true_category or None, subset)
        after = FrameId(texts["after"]) or None
        return cls(DetectorId(texts["detector"]), wanted, after, texts["tag"])

    def query(self, after: FrameId | None = None) -> str:
        """The URL's query of the list, from a frame on."""
        parts = {
            "detector": self.detector,
            "outcome": self.wanted.outcome,
            "score": f"{self.wanted.score:g}",
            "category": self.wanted.category,
            "true_category": self.wanted.true_category,
            "subset": None if self.wanted.subset is Subset.ALL else self.wanted.subset,
            "tag": self.tag,
            "after": after,
        }
        return f"?{urlencode({name: value for name, value in parts.items() if value})}"


_TEXTS = ("detector", "category", "true_category", "after", "tag")


@dataclass(frozen=True)
class CountedFrames:
    """Reads stored matches in the order of their frames.

    Parameters
    ----------
    most_read : matches after which a page ends, full or not
    """

    matches: MatchStore
    most_read: int = _MAX_READ

    async def page(self, view: CountedView) -> FramePage:
        """The next frames of a view.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        frames: list[CountedFrame] = []
        read = 0
        last: FrameId | None = None
        async for frame in self._frames(view):
            if len(frames) == _PAGE or read >= self.most_read:
                return FramePage(frames, last)
            read += 1
            last = frame.frame_id
            if frame.count:
                frames.append(frame)
        return FramePage(frames, None)

    async def all(self, view: CountedView) -> AsyncIterator[CountedFrame]:
        """Every frame of a view."""
        async for frame in self._frames(view):
            if frame.count:
                yield frame

    async def _frames(self, view: CountedView) -> AsyncIterator[CountedFrame]:
        """Every matched frame, with what the view counts on it."""
        wanted = view.wanted
        categories = None if wanted.category is None else [wanted.category]
        matches = self.matches.in_frame_order(
            view.detector, categories=categories, after=view.after
        )
        frame: CountedFrame | None = None
        key, _, value = view.tag.partition("=")
        async for match in matches:
            outside = view.tag and (key, value) not in match.tags
            found = FoundObjects(0) if outside else selected(match, wanted)
            if frame is not None and frame.frame_id != match.frame_id:
                yield frame
                frame = None
            before = frame or CountedFrame(match.frame_id, 0, ())
            regions = sorted((*before.regions, *found.regions), key=lambda region: -region.score)
            frame = CountedFrame(match.frame_id, before.count + found.count, regions)
        if frame is not None:
            yield frame


def rows(frame: CountedFrame, category: Category | None) -> list[tuple[object, ...]]:
    """The lines of a table: one per detection, or one with the number of missed objects."""
    if not frame.regions:
        return [(frame.frame_id, category, frame.count, *[None] * 7)]
    return [
        (
            frame.frame_id,
            region.category,
            1,
            region.score,
            *region.bbox,
            region.error_type and region.error_type.value,
            region.true_category,
        )
        for region in frame.regions
    ]


COLUMNS = (
    *("frame_id", "category", "count", "score", "x", "y", "width", "height"),
    *("error_type", "true_category"),
)
