"""Open what an erasure needs, for the command line and for operators by HTTP."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from services.app.erasure.choosing import Chosen, FrameChoice
from services.app.erasure.eraser import FrameEraser, Outcome
from services.app.erasure.erasers import CONFIRMING, eraser_alone, eraser_with_services
from services.app.parts import App, joined, services_run
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditRecord
from services.domain.ports.erasure import ErasureRequest
from services.ingest.api.erasures import Erase, EraseFrames, ErasureAnswer, StayingCopy
from services.runtime.clock import Clock, SystemClock
from services.runtime.settings import Settings
from services.runtime.stores.vectors_open import open_vector_store


@dataclass(frozen=True)
class Erasure:
    """An eraser, and the services that are to erase what they hold and confirm it."""

    app: App
    eraser: FrameEraser
    services: tuple[str, ...]

    async def chosen(self, choice: FrameChoice) -> Chosen:
        """The frames that are to be erased; see `FrameChoice.among`.

        Raises
        ------
        InvalidRecord
            `nothing_known`.
        StoreUnavailable
            The store does not answer.
        """
        stores = self.app.stores
        return await choice.among(stores.frame_ids, stores.tombstones)

    async def erase(
        self, choice: FrameChoice, frame_ids: Sequence[FrameId], by: str, reason: str, at: datetime
    ) -> Outcome:
        """Note the act, then erase; see `FrameEraser.erase`.

        Raises
        ------
        Transient
            A store or the broker does not answer.
        """
        details: dict[str, str | int] = {"frames": len(frame_ids), "reason": reason}
        await self.app.stores.audit.append(
            AuditRecord(at, AuditAct.ERASED, by, choice.kinds, details)
        )
        return await self.eraser.erase(frame_ids, ErasureRequest(by, reason, at, self.services))


@asynccontextmanager
async def opened_erasure(settings: Settings) -> AsyncIterator[Erasure]:
    """An eraser, together with the services of a cluster or of a running `gazeloop up`, or alone.

    Raises
    ------
    StoreUnavailable, BrokerUnavailable
        A part does not answer.
    """
    clock = SystemClock()
    async with AsyncExitStack() as closing:
        if await services_run(settings):
            app = await closing.enter_async_context(joined(settings))
            eraser = eraser_with_services(app.stores, app.outbox, app.settings, clock)
            yield Erasure(app, eraser, CONFIRMING)
            return
        # Nobody else has the vectors open, and no service would confirm.
        vectors = open_vector_store(settings)
        closing.push_async_callback(vectors.close)
        app = await closing.enter_async_context(joined(settings))
        yield Erasure(app, eraser_alone(app.stores, app.outbox, vectors, app.settings, clock), ())


def erasing_for_operators(app: App, clock: Clock) -> EraseFrames:
    """Erases frames that operators name by HTTP, beside the running services."""

    async def erase(wanted: Erase, operator: str) -> ErasureAnswer:
        stores = app.stores
        eraser = eraser_with_services(stores, app.outbox, app.settings, clock)
        erasure = Erasure(app, eraser, CONFIRMING)
        choice = FrameChoice(wanted.frame_ids, wanted.drive_id, wanted.vehicle_id)
        chosen = await erasure.chosen(choice)
        if wanted.dry_run:
            return _answer(chosen, await erasure.eraser.preview(chosen.frame_ids), {})
        done = await erasure.erase(choice, chosen.frame_ids, operator, wanted.reason, clock.now())
        return _answer(chosen, done, await stores.tombstones.awaited())

    return erase


def _answer(chosen: Chosen, outcome: Outcome, awaited: Mapping[str, int]) -> ErasureAnswer:
    return ErasureAnswer(
        frames=len(chosen.frame_ids),
        unknown=tuple(chosen.unknown),
        counts=dict(outcome.counts),
        awaited=dict(awaited),
        copies=tuple(StayingCopy(**asdict(copy)) for copy in outcome.copies),
    )
