"""Where a command's broker ends with it, undos and changes of maps wait for the next services."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from services.app.categories.changing import apply_change, match_again
from services.app.parts import App
from services.app.undoing.requesting import undo_now
from services.app.upkeep import finish_pending
from services.contracts.identity import Category
from services.domain.ports.category_maps import MapScope
from services.domain.ports.imports import Undo
from services.ground_truth.category_changes import CategoryChange
from tests import samples
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.imports import InMemoryImports
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox

AT = datetime(2026, 5, 4, tzinfo=UTC)
CHANGE = CategoryChange(MapScope("ods"), {samples.STOP_SIGN: Category("halt")})


@pytest.mark.parametrize("lasts", [True, False])
async def test_what_a_broker_would_lose_is_published_later(lasts: bool) -> None:
    frames, outbox = InMemoryFrameStore(), InMemoryOutbox()
    await frames.record([samples.predictions_made(samples.detection())])
    stores = SimpleNamespace(
        frames=frames,
        category_maps=frames.maps,
        audit=InMemoryAuditLog(),
        imports=InMemoryImports(),
        ledger=InMemoryLedger(),
    )
    app = SimpleNamespace(stores=stores, outbox=outbox, lasts=lasts)
    assert await apply_change(cast("App", app), CHANGE, "ada", AT) == (True, int(lasts))
    again = await match_again(cast("App", app), MapScope("ods"), "ada", AT)
    assert again == lasts
    assert await undo_now(cast("App", app), Undo(samples.DETECTOR, "ada", AT)) == int(lasts)
    await finish_pending(cast("App", app))
    assert len(outbox.published) == 3 * lasts
    app.lasts = True
    await finish_pending(cast("App", app))
    # What waited is one rematch, by the latest map, and one undo.
    assert len(outbox.published) == (3 if lasts else 2)
