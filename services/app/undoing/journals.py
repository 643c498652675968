"""The journals of imports, campaigns and bridges."""

from datetime import datetime

from services.contracts.identity import import_id
from services.domain.ports.imports import ImportKind, ImportRun
from services.ground_truth.import_journal import DailyJournal, ImportJournal
from services.runtime.clock import Clock
from services.runtime.stores.opening import Stores


def journal_of(stores: Stores, kind: ImportKind, name: str, by: str, at: datetime) -> ImportJournal:
    """The journal of a run that begins now."""
    run = ImportRun(import_id(f"{kind} {name}", at.isoformat()), kind, name, by, at)
    return ImportJournal(run, stores.imports, stores.frames)


def daily_journal(
    stores: Stores, kind: ImportKind, name: str, clock: Clock, by: str | None = None
) -> DailyJournal:
    """The journal, a run per day, of a service that publishes continuously, or for annotators."""
    return DailyJournal(kind, name, stores.imports, stores.frames, clock, by)
