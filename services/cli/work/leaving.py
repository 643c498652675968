"""Records of data that leaves the stores, which tell erasures where to look."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.annotation.exporting import require_empty
from services.cli.account import account
from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditRecord
from services.runtime.clock import SystemClock
from services.runtime.stores.opening import Stores


@asynccontextmanager
async def leaving(
    stores: Stores, to: Path, frame_ids: Sequence[FrameId], **details: str
) -> AsyncIterator[None]:
    """Record an export before it is written, so that erasures look there, whatever interrupts it.

    Raises
    ------
    InvalidRecord
        `folder_in_use`: the folder is not empty. `erased_frame`: frames were erased meanwhile.
    """
    await note_leaving(stores, to, **details, frames=len(frame_ids))
    yield
    erased = await stores.tombstones.erased(frame_ids)
    if erased:
        detail = f"{len(erased):,} frames were erased meanwhile: remove {to}, and start again"
        raise InvalidRecord(detail, reason="erased_frame")


@asynccontextmanager
async def leaving_all(stores: Stores, to: Path, form: str) -> AsyncIterator[None]:
    """As `leaving`, for an export of all frames that are captured now."""
    async with leaving(stores, to, await stores.frame_ids.captured(), form=form):
        yield


async def note_leaving(stores: Stores, to: Path, **details: str | int) -> None:
    """Record that data is about to leave the stores, and where to.

    Raises
    ------
    InvalidRecord
        `folder_in_use`: the folder is not empty.
    """
    require_empty(to)
    await stores.audit.append(_exported(to, details))


def _exported(to: Path, details: Mapping[str, str | int]) -> AuditRecord:
    now = SystemClock().now()
    return AuditRecord(now, AuditAct.EXPORTED, account(), str(to.absolute()), details)
