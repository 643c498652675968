"""Match a detector's frames again at once, after a change of its category map or of settings."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from services.app.categories.rematching import Rematcher
from services.app.parts import App
from services.domain.ports.audit import AuditAct, AuditRecord
from services.domain.ports.category_maps import MapScope
from services.ground_truth.category_changes import CategoryChange, change_categories

_SAME: Final[Mapping[str, str | int]] = {"names": "as they were"}


async def apply_change(app: App, change: CategoryChange, by: str, at: datetime) -> tuple[bool, int]:
    """Store a change; returns whether it was one, and how many predictions are matched again.

    In a broker that ends with this process, nothing is published: the next services do it.

    Raises
    ------
    Transient
        A store or the broker does not answer; ingest continues later.
    """
    stores = app.stores
    changed = await change_categories(change, stores.category_maps, stores.audit, by, at)
    return changed, await _rematched(app)


async def match_again(app: App, scope: MapScope, by: str, at: datetime) -> int:
    """Match a detector's frames again by the map and the settings that there are.

    Returns how many predictions are matched again, as `apply_change` does.

    Raises
    ------
    Transient
        A store or the broker does not answer; ingest continues later.
    """
    await app.stores.category_maps.rematch(scope, by, at)
    await app.stores.audit.append(AuditRecord(at, AuditAct.CATEGORIES, by, scope, _SAME))
    return await _rematched(app)


async def _rematched(app: App) -> int:
    if not app.lasts:
        return 0
    return await Rematcher(app.stores.category_maps, app.stores.frames, app.outbox).sweep()
