"""Check MongoDB: write access, indexes, clock, disk, and which data its records belong to."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from services.annotation.stores.opening import INDEXED_STORES as ANNOTATION
from services.app.doctor.finding import Finding, Level, space
from services.app.erasure.eraser import INTERRUPTED
from services.app.first_names import first_names
from services.app.remedies import remedy_of
from services.contracts.errors import StoresFromLater, StoresNotMigrated, UnfinishedRestore
from services.contracts.events import SCHEMA_VERSION
from services.contracts.identity import ModelId
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.stores.category_maps_mongo import MongoCategoryMaps
from services.runtime.stores.indexes import INDEXED_STORES as SHARED
from services.runtime.stores.indexes import missing_indexes
from services.runtime.stores.mongo import Database, connected, translated
from services.runtime.stores.restore_mark import refuse_half_restored
from services.runtime.stores.retention_mongo import MongoRetention
from services.runtime.stores.schema_stamp import newest_schema
from services.runtime.stores.store_version import refuse_other, store_version
from services.runtime.stores.tombstones_mongo import MongoTombstones

_PART = "mongodb"
_MAX_SKEW_S = 2.0  # ages and freshness are differences between two machines' clocks
_NAMED = 5
_OLDEST = (5, 0)  # the oldest version with all update pipeline operators that we use


async def look_at_mongodb(settings: Settings, clock: Clock) -> list[Finding]:
    """Check the server and its records.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        It does not answer, or refuses access.
    """
    async with connected(settings) as database:
        found = [*await _server(database, clock), *await _records(database)]
        found += await _retention(database, settings, clock)
        found += await _erasures(database, settings, clock)
    return [Finding(Level.OK, _PART, f"{settings.mongodb_database} can be written"), *found]


async def _server(database: Database, clock: Clock) -> list[Finding]:
    with translated():
        before = clock.now()
        hello = await database.command("hello")
        now = clock.now()
        version = (await database.command("buildInfo"))["versionArray"]
        # A read-only user may not do this; it matches nothing, and creates no collection.
        await database["doctor"].update_one({"_id": "probe"}, {"$set": {"at": now}})
        stats = await database.command("dbStats")
    free = 1 - stats["fsUsedSize"] / stats["fsTotalSize"] if stats.get("fsTotalSize") else 1.0
    remedy = "enlarge its volume: a full MongoDB stops all services"
    skew_s = _skew_s(hello["localTime"].replace(tzinfo=UTC), before, now)
    return [*_unfit(hello, version, skew_s), *space(_PART, "it", free, remedy)]


def _skew_s(server_time: datetime, before: datetime, after: datetime) -> float:
    """By how much the server's clock is off, which was read between two times of this machine."""
    return max((before - server_time).total_seconds(), (server_time - after).total_seconds(), 0.0)


def _unfit(hello: dict[str, Any], version: list[int], skew_s: float) -> Iterator[Finding]:
    if tuple(version[:2]) < _OLDEST:
        problem = f"MongoDB {'.'.join(map(str, version[:3]))} is too old"
        yield Finding(Level.ERROR, _PART, problem, "use 5.0 or newer")
    if "setName" not in hello:
        remedy = "use a replica set of three, so that a failed disk loses nothing"
        yield Finding(Level.WARNING, _PART, "it is a single server, not a replica set", remedy)
    if skew_s > _MAX_SKEW_S:
        problem = f"its clock differs from this machine's by {skew_s:.0f} s"
        yield Finding(Level.WARNING, _PART, problem, "run NTP on both machines")


async def _records(database: Database) -> list[Finding]:
    try:
        refuse_other(await store_version(database))
        await refuse_half_restored(database)
    except (StoresNotMigrated, StoresFromLater, UnfinishedRestore) as exc:
        return [Finding(Level.ERROR, _PART, str(exc), remedy_of(exc))]
    found = []
    bare = await missing_indexes(database, (*SHARED, *ANNOTATION))
    if bare:
        problem = f"indexes are missing in {', '.join(bare)}: queries get slower as data grow"
        remedy = "restart the services: each creates its stores' indexes at its start"
        found.append(Finding(Level.WARNING, _PART, problem, remedy))
    newest = await newest_schema(database)
    if newest > SCHEMA_VERSION:
        problem = f"its records have schema {newest}, but this version reads up to {SCHEMA_VERSION}"
        remedy = "run the newest version everywhere: an older one dead-letters what it cannot read"
        found.append(Finding(Level.ERROR, _PART, problem, remedy))
    return [*found, *await _unknown_categories(database)]


async def _retention(database: Database, settings: Settings, clock: Clock) -> list[Finding]:
    store, now, most = MongoRetention(database), clock.now(), settings.retention_per_minute
    found = []
    if days := settings.retain_unlisted_days:
        older = await store.count_old_frames(now - timedelta(days=days))
        text = f"{older:,} frames without ground truth are older than {days:g} days: ingest erases"
        rate = f"those that no shortlist had, at most {most:,} a minute"
        found.append(Finding(Level.OK, _PART, f"{text} {rate}"))
    if days := settings.retain_images_days:
        older = await store.count_old_images(now - timedelta(days=days))
        text = f"{older:,} images of annotated frames are older than {days:g} days: ingest deletes"
        rate = f"those without active needles, at most {most:,} a minute"
        found.append(Finding(Level.OK, _PART, f"{text} {rate}"))
    found += replaced_models(await store.replaced(), settings)
    return [*found, *records_kept(settings)]


def replaced_models(replaced: Mapping[ModelId, datetime], settings: Settings) -> list[Finding]:
    """The models whose vectors the embedder deletes in time; MongoDB notes since when."""
    days, most = settings.retain_vectors_days, settings.retention_per_minute
    rate = f"the embedder deletes its vectors after {days:g} days, of {most:,} frames a minute"
    return [
        Finding(Level.OK, _PART, f"{model} is not live any more since {since:%Y-%m-%d}: {rate}")
        for model, since in sorted(replaced.items())
        if days
    ]


def records_kept(settings: Settings) -> list[Finding]:
    """The ages of what ingest deletes of records."""
    limited = {
        "decisions about retracted needles": settings.retain_verdicts_days,
        "imports, which can then not be undone,": settings.retain_imports_days,
        "figures over time": settings.retain_figures_days,
    }
    return [
        Finding(Level.OK, _PART, f"ingest deletes {kind} after {days:g} days")
        for kind, days in limited.items()
        if days
    ]


async def _erasures(database: Database, settings: Settings, clock: Clock) -> list[Finding]:
    left = await MongoTombstones(database).count_unswept(clock.now() - INTERRUPTED)
    if not left:
        return []
    problem = f"an erasure was interrupted: {left:,} frames still have images or records"
    rate = f"at most {settings.retention_per_minute:,} a minute"
    remedy = f"run ingest, which finishes it, {rate}; or `gazeloop erase` again, which does at once"
    return [Finding(Level.WARNING, _PART, problem, remedy)]


async def _unknown_categories(database: Database) -> list[Finding]:
    names: dict[str, list[str]] = {}
    for item in await MongoCategoryMaps(database).unknown():
        names.setdefault(item.detector, []).append(item.category)
    remedy = "map or ignore them: `gazeloop categories`, or the page Categories of the review"
    return [
        Finding(Level.WARNING, _PART, f"{detector} predicts {_listed(categories)}", remedy)
        for detector, categories in names.items()
    ]


def _listed(categories: Sequence[str]) -> str:
    named = first_names(categories, _NAMED)
    return f"{len(categories)} categories that no annotation has: {named}"
