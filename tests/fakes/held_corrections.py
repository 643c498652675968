from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from services.contracts.identity import FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Question,
    VersionChoice,
)

_NEVER = datetime.min.replace(tzinfo=UTC)


class InMemoryHeldCorrections:
    def __init__(self) -> None:
        self._held: dict[str, HeldCorrection] = {}
        self._answers: dict[tuple[str, int], LabelAnswer] = {}

    async def hold(self, corrections: Sequence[HeldCorrection]) -> list[HeldCorrection]:
        stored = []
        for correction in corrections:
            outcome = self._held.setdefault(correction.held_id, correction).outcome
            stored.append(replace(correction, outcome=outcome))
            if outcome is not HeldOutcome.WAITING:
                continue
            for other in await self.waiting():
                same = (
                    other.after is None
                    if correction.after is None
                    else other.origin == correction.origin
                )
                if same and other.held_id != correction.held_id:
                    self._supersede(other, {correction.frame_id})
        return stored

    async def supersede(self, frame_ids: Collection[FrameId]) -> None:
        for correction in await self.waiting():
            if correction.after is None:
                self._supersede(correction, frame_ids)

    async def supersede_from(self, frame_id: FrameId, origin: str) -> None:
        for correction in await self.waiting():
            if correction.origin == origin and correction.after is not None:
                self._supersede(correction, {frame_id})

    def _supersede(self, correction: HeldCorrection, frame_ids: Collection[FrameId]) -> None:
        if correction.frame_id in frame_ids:
            self._change(correction.held_id, outcome=HeldOutcome.SUPERSEDED)

    def _change(self, held_id: str, **changes: Any) -> None:
        if held_id in self._held:
            self._held[held_id] = replace(self._held[held_id], **changes)

    async def waiting(self, limit: int = 0) -> list[HeldCorrection]:
        waiting = [c for c in self._held.values() if c.outcome is HeldOutcome.WAITING]
        return sorted(waiting, key=lambda c: c.held_at)[: limit or None]

    async def find(self, held_id: str) -> HeldCorrection | None:
        return self._held.get(held_id)

    async def recent(self, limit: int) -> list[HeldCorrection]:
        decided = [c for c in self._held.values() if c.decided_at is not None]
        return sorted(decided, key=lambda c: c.decided_at or _NEVER, reverse=True)[:limit]

    async def choose(self, choice: VersionChoice) -> bool:
        correction = self._held.get(choice.held_id)
        if (
            correction is None
            or correction.question is not choice.question
            or correction.chosen is not None
            or correction.outcome is not HeldOutcome.WAITING
        ):
            return False
        self._change(
            choice.held_id,
            chosen=choice.chosen,
            by=choice.by,
            token_id=choice.token_id,
            decided_at=choice.at,
        )
        return True

    async def ask_again(self, held_id: str, question: Question) -> None:
        correction = self._held.get(held_id)
        if correction is not None and correction.outcome is HeldOutcome.WAITING:
            self._change(held_id, question=question, chosen=None)

    async def settle(self, held_id: str, outcome: HeldOutcome, revision: int | None = None) -> None:
        self._change(held_id, outcome=outcome, revision=revision)

    async def answer(self, answer: LabelAnswer) -> bool:
        key = answer.label, answer.version
        return self._answers.setdefault(key, answer) is answer

    async def answers(self, labels: Collection[str] | None = None) -> Mapping[str, LabelAnswer]:
        ordered = sorted(self._answers.values(), key=lambda answer: answer.version)
        latest = {answer.label: answer for answer in ordered}
        return {k: v for k, v in latest.items() if labels is None or k in labels}
