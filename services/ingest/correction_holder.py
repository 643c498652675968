"""Holds corrections that arrive by HTTP and raise a question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.contracts.events import FrameAnnotated
from services.domain.ports.held_corrections import HeldCorrection
from services.domain.ports.ledger import RevisionLedger
from services.domain.ports.shortlists import ShortlistStore
from services.ground_truth.drafts import Draft, entry_of, tagged
from services.ground_truth.holding import CorrectionGate, IncomingCorrection
from services.ingest import ways


@dataclass(frozen=True)
class CorrectionHolder:
    """Holds corrections that raise a question.

    Ground truth is a correction if its frame has some already or is on a shortlist, whatever its
    source. The first ground truth of any other frame may introduce new categories.
    """

    gate: CorrectionGate
    ledger: RevisionLedger
    shortlists: ShortlistStore

    async def sift(
        self, drafts: Sequence[Draft], tags: Sequence[str]
    ) -> list[Draft | HeldCorrection]:
        """For each draft, the draft to publish, or the correction that is held.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        incoming = {
            at: IncomingCorrection((draft,), ways.HTTP, tags[at])
            for at, draft in enumerate(drafts)
            if isinstance(draft, FrameAnnotated)
        }
        corrections = await self._corrections(incoming)
        judged = await self.gate.judged([incoming[at] for at in corrections])
        sifted: list[Draft | HeldCorrection] = list(drafts)
        for at, truth in zip(corrections, judged, strict=True):
            sifted[at] = truth
        return sifted

    async def _corrections(self, incoming: Mapping[int, IncomingCorrection]) -> list[int]:
        """The positions of new corrections among these drafts."""
        frames = {at: correction.versions[0].frame_id for at, correction in incoming.items()}
        entries = {
            at: tagged(entry_of(correction.versions[0]), correction.tag)
            for at, correction in incoming.items()
        }
        published = await self.ledger.published(entries.values())
        annotated = await self.ledger.known([entry.subject for entry in entries.values()])
        listed = await self.shortlists.memberships(frames.values())
        shortlisted = {frame_id for (frame_id, _), item in listed.items() if item.shortlisted}
        return [
            at
            for at, entry in entries.items()
            if entry not in published and (entry.subject in annotated or frames[at] in shortlisted)
        ]
