"""Request an undo, and do it at once."""

from services.app.parts import App
from services.app.undoing.undoer import Undoer
from services.domain.ports.audit import AuditAct, AuditRecord
from services.domain.ports.imports import Undo
from services.ground_truth.publishing import RevisionPublisher
from services.runtime.step import Outbox
from services.runtime.stores.opening import Stores

WAY = "undo"


def undoer_of(stores: Stores, outbox: Outbox) -> Undoer:
    """The undoer on these stores; it publishes as ingest."""
    publisher = RevisionPublisher(stores.ledger, outbox, WAY)
    return Undoer(stores.imports, stores.frames, publisher)


async def undo_now(app: App, undo: Undo) -> int:
    """Note the act, then undo; returns the number of parts that were taken back.

    In a broker that ends with this process, nothing is published: the next services do it.

    Raises
    ------
    Transient
        A store or the broker does not answer; ingest continues.
    """
    stores = app.stores
    undone = f"{'detector' if undo.is_of_detector else 'import'} {undo.target}"
    await stores.audit.append(AuditRecord(undo.at, AuditAct.UNDONE, undo.by, undone))
    await stores.imports.request(undo)
    return await undoer_of(stores, app.outbox).sweep() if app.lasts else 0
