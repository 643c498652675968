"""Assigns frames to shortlists: all for one purpose, or divided among several."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.contracts.identity import FrameId, ModelId
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.purposes import Purpose
from services.domain.shortlists.scored_candidates import Assignment, Key, Limits, ListedFrame
from services.retriever import logic
from services.retriever.allocation.active_needles import ActiveNeedles
from services.retriever.allocation.divided_budget import DividedBudget
from services.retriever.allocation.drawn_frames import DrawnFrames
from services.retriever.allocation.frame_placement import FramePlacement
from services.retriever.allocation.known_sightings import KnownSightings, Sighting
from services.retriever.allocation.listed_scenes import ListedScenes
from services.retriever.changelog import Changelog
from services.retriever.scoring.scorer import FittedTo
from services.retriever.sources import Sources


class FrameAssigner:
    """Lets an allocator assign frames, and replaces those that must not be listed.

    Parameters
    ----------
    listed : the frames on shortlists, to which the allocator adds
    fits : the failure model of each mode
    """

    def __init__(
        self,
        sources: Sources,
        model: ModelId,
        changelog: Changelog,
        *,
        needles: ActiveNeedles,
        drawn: DrawnFrames,
        division: DividedBudget,
        listed: Mapping[FrameId, ListedFrame],
        fits: Mapping[Key, FittedTo],
    ) -> None:
        self._needles = needles
        self._division = division
        self._listed = listed
        self._frames = sources.frames
        self._settings = sources.settings
        self._scenes = ListedScenes(needles, sources, model)
        self._known = KnownSightings(sources.known_places, changelog)
        self._placement = FramePlacement(needles, fits, drawn, division, sources)

    def forget(self, key: Key, frames: Collection[FrameId] | None = None) -> None:
        """Forget candidates of a mode that are held back at known places; all, or of frames."""
        self._known.forget(key, frames)

    async def place_drawn(self, allocator: BudgetAllocator) -> list[Assignment]:
        """Put frames that were drawn by chance on shortlists."""
        return await self._placement.of_drawn(allocator)

    async def assign(
        self, allocator: BudgetAllocator, limits: Limits, modes: Collection[Key] | None
    ) -> list[Assignment]:
        """Assign frames within the limits, by the strategy in the settings.

        Parameters
        ----------
        modes : to assign frames for; None for all, and for coverage where budgets are divided
        """
        if self._settings.divides_budget:
            return await self._divided(allocator, limits, modes)
        return await self._assigned(allocator, limits, modes)

    async def _assigned(
        self, allocator: BudgetAllocator, limits: Limits, modes: Collection[Key] | None
    ) -> list[Assignment]:
        """Assign frames; others take the places of those that are gone, show a listed scene, or
        were taken where the error is known.
        """
        for freed in await self._known.refresh():
            if allocator.needles(freed.key):
                allocator.add_candidates(freed.key, [freed.candidate])
        assigned: list[Assignment] = []
        while True:
            new = await asyncio.to_thread(allocator.allocate, limits, modes)
            refused = await self._gone(new)
            refused |= self._known.hold(
                Sighting(logic.key_of(*self._needles.mode_of(item.needle)), item.candidate)
                for item in new
            )
            refused |= await self._scenes.repeated(new, refused, allocator)
            assigned += [item for item in new if item.candidate.context.frame not in refused]
            if not refused:
                return assigned
            for frame in sorted(refused):
                needle = allocator.release(frame)
                key = logic.key_of(*self._needles.mode_of(needle))
                allocator.remove_candidates(key, {frame})

    async def _gone(self, assignments: Sequence[Assignment]) -> set[FrameId]:
        """The assigned frames that may not be listed any more, or lost their region.

        The event that reports it will follow, or arrived after the scorer had forgotten the frame.
        """
        candidates = [assignment.candidate for assignment in assignments]
        facts = await self._frames.load({item.context.frame for item in candidates})
        return {
            item.context.frame
            for item in candidates
            if (frame := facts.get(item.context.frame)) is None
            or item.region not in frame.regions
            or not frame.is_listable(count_copies=self._settings.count_copies)
        }

    async def _divided(
        self, allocator: BudgetAllocator, limits: Limits, modes: Collection[Key] | None
    ) -> list[Assignment]:
        """Assign frames for each purpose; errors get what rare ones leave, coverage the rest."""
        most, listed = limits.budgets.haystack, self._listed
        waiting = [frame for frame, row in listed.items() if not row.corrected]
        parts = self._division.parts(max(0, most - len(listed)), waiting)
        assigned: list[Assignment] = []
        for purpose, modes_of, until in (
            (Purpose.RARE, await self._rare_modes(modes), len(listed) + parts[Purpose.RARE]),
            (Purpose.ERRORS, modes, most - parts[Purpose.COVERAGE]),
        ):
            budgets = replace(limits.budgets, haystack=until)
            new = await self._assigned(allocator, replace(limits, budgets=budgets), modes_of)
            self._division.spend((item.candidate.context.frame for item in new), purpose)
            assigned += new
        if modes is None:
            # Not earlier, when the frames that are there are the first of a drive.
            count = most - len(listed)
            assigned += await self._placement.of_covering(allocator, count, limits.size)
        return assigned

    async def _rare_modes(self, modes: Collection[Key] | None) -> set[Key]:
        """The failure modes that have to do with a rare category."""
        rare = await self._division.rare()
        keys = {
            logic.key_of(category, mode)
            for category, modes_of in self._needles.modes().items()
            for mode in modes_of
        }
        return {
            key
            for key in (keys if modes is None else keys.intersection(modes))
            if rare.intersection((key[1], key[3]))
        }
