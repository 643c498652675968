"""Change a category map, and match the detector's frames again at once."""

from datetime import datetime

from services.app.categories.rematching import Rematcher
from services.app.parts import App
from services.ground_truth.category_changes import CategoryChange, change_categories


async def apply_change(app: App, change: CategoryChange, by: str, at: datetime) -> tuple[bool, int]:
    """Store a change; returns whether it was one, and how many predictions are matched again.

    In a broker that ends with this process, nothing is published: the next services do it.

    Raises
    ------
    Transient
        A store or the broker does not answer; ingest goes on later.
    """
    stores = app.stores
    changed = await change_categories(change, stores.category_maps, stores.audit, by, at)
    if not app.lasts:
        return changed, 0
    return changed, await Rematcher(stores.category_maps, stores.frames, app.outbox).sweep()
