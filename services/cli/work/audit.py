"""What `gazeloop audit` does."""

from dataclasses import asdict
from datetime import UTC, datetime

import orjson
import typer

from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.app.audit_trail import audit_trail
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.work.opened import opened
from services.contracts.bounds import FIRST_TIME
from services.contracts.visible_text import escaped
from services.domain.ports.audit import AuditRecord


def audit(ctx: typer.Context, *, since: datetime | None, as_json: bool) -> None:
    """Run `gazeloop audit`."""
    context = shared(ctx)
    at = FIRST_TIME if since is None else since.replace(tzinfo=UTC)
    found = run(lambda: _read(context, at), interrupted="Nothing was changed.")
    for record in found:
        if as_json:
            print(orjson.dumps(asdict(record)).decode())  # noqa: T201  # to be piped
        else:
            console().print(line_of(record), highlight=False, soft_wrap=True)
    if not found and not as_json:
        console().print("no acts")


async def _read(context: Context, at: datetime) -> list[AuditRecord]:
    async with opened(context.stored(), "audit") as app:
        reviews = MongoReviewStore(app.stores.database)
        return [record async for record in audit_trail(app.stores.audit, reviews, at)]


def line_of(record: AuditRecord) -> str:
    """The act as one line, whatever a person gave as a reason."""
    facts = ", ".join(f"{name} {value}" for name, value in record.details.items())
    parts = (f"{record.at:%Y-%m-%d %H:%M:%S}", record.by, record.act, record.on, facts)
    return escaped("  ".join(parts).rstrip())
