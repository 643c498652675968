"""Writes what an epoch allocates as the next revisions of shortlists."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from services.contracts.identity import FrameId, ModelId, NeedleId, RegionId
from services.contracts.needles import Candidate, Provenance, ShortlistPublished
from services.domain.mining.failure_model import Method
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.scored_candidates import Assignment
from services.retriever import logic
from services.retriever.sources import Sources

Owner = Callable[[FrameId], NeedleId | None]
"""The needle whose shortlist has a frame."""
Methods = Callable[[NeedleId], Method]
"""How evidence is computed for a needle's failure mode."""


class ShortlistRevisions:
    """Makes the shortlists of one detector under one embedding model."""

    def __init__(self, sources: Sources, model: ModelId) -> None:
        self._sources = sources
        self._settings = sources.settings
        self._model = model

    async def next(
        self,
        needles: set[NeedleId],
        assignments: Sequence[Assignment],
        owner: Owner,
        method: Methods,
        epoch: int,
    ) -> list[ShortlistPublished]:
        """The shortlists of these needles that change; none of a needle that cannot be read.

        Parameters
        ----------
        assignments : the frames that are new on them
        """
        records = await self._sources.needles.load(needles)
        fresh = await self._fresh(records, assignments)
        found = []
        for needle_id in sorted(needles & records.keys()):
            record, new = records[needle_id], fresh.get(needle_id, {})
            if record.shortlist is None and not new:
                continue
            assert record.needle is not None
            staying = [
                candidate
                for candidate in logic.listed(record)
                if candidate.frame_id not in new and owner(candidate.frame_id) == needle_id
            ]
            candidates = logic.in_order([*staying, *new.values()])
            if record.shortlist is not None and not new:
                # No candidate is new, so the provenance of the existing ones holds.
                provenance = record.shortlist.provenance
            else:
                provenance = self._provenance(method(needle_id))
            found.append(logic.next_shortlist(record, record.needle, candidates, provenance, epoch))
        return [shortlist for shortlist in found if shortlist is not None]

    async def _fresh(
        self, records: Mapping[NeedleId, NeedleRecord], assignments: Sequence[Assignment]
    ) -> dict[NeedleId, dict[FrameId, Candidate]]:
        """The new candidates of each needle whose record can be read."""
        readable = [
            (record.needle, assignment)
            for assignment in assignments
            if (record := records.get(assignment.needle)) and record.needle is not None
        ]
        frames = {assignment.candidate.context.frame for _, assignment in readable}
        facts = await self._sources.frames.load(frames)
        similarities = await self._similarities(
            [(needle.region_id, assignment.candidate.region) for needle, assignment in readable]
        )
        fresh: defaultdict[NeedleId, dict[FrameId, Candidate]] = defaultdict(dict)
        for (_, assignment), similarity in zip(readable, similarities, strict=True):
            candidate = assignment.candidate
            frame = candidate.context.frame
            new_candidate = logic.candidate(
                candidate.region,
                facts[frame],
                similarity,
                candidate.evidence,
                self._settings.blob_url,
            )
            drawn = {"sampling": assignment.sampling}
            fresh[assignment.needle][frame] = new_candidate.model_copy(update=drawn)
        return fresh

    async def _similarities(self, pairs: Sequence[tuple[RegionId, RegionId]]) -> list[float]:
        """The cosine of the regions of each pair."""
        regions = {region for pair in pairs for region in pair}
        vectors = await self._sources.vectors.load(self._model, regions)
        return [
            float(vectors[one] @ vectors[other]) if one in vectors and other in vectors else 0.0
            for one, other in pairs
        ]

    def _provenance(self, method: Method) -> Provenance:
        return Provenance(
            model=self._model,
            strategy=self._settings.shortlist_strategy,
            size_limit=self._settings.shortlist_size,
            method=method.value,
        )
