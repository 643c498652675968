"""The audit log together with the decisions on the review page, which are a separate log."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from services.annotation.ports.reviews import ReviewEvent
from services.domain.ports.audit import AuditAct, AuditLog, AuditRecord


class Decisions(Protocol):
    """The part of a `ReviewStore` that is read."""

    def since(self, at: datetime) -> AsyncIterator[ReviewEvent]:
        """The decisions from this time on, oldest first."""
        ...


async def audit_trail(
    log: AuditLog, reviews: Decisions, at: datetime
) -> AsyncIterator[AuditRecord]:
    """All acts from this time on, oldest first.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    acts, decisions = aiter(log.since(at)), aiter(reviews.since(at))
    act, decision = await anext(acts, None), await anext(decisions, None)
    while act is not None or decision is not None:
        if decision is None or (act is not None and act.at <= decision.at):
            assert act is not None
            yield act
            act = await anext(acts, None)
        else:
            yield _verdict(decision)
            decision = await anext(decisions, None)


def _verdict(event: ReviewEvent) -> AuditRecord:
    details: dict[str, str | int] = {"act": event.act.value, "regions": len(event.regions)}
    if event.token_id:
        details["token"] = event.token_id
    if event.revision is not None:
        details["revision"] = event.revision
    return AuditRecord(event.at, AuditAct.VERDICT, event.by, f"needle {event.needle_id}", details)
