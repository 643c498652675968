"""What `gazeloop backup` does."""

import re
from pathlib import Path

import typer
from rich.table import Table

from services.app.backup.backups import Backups
from services.app.backup.making import back_up
from services.app.backup.manifest import Manifest
from services.app.backup.places import open_backups
from services.app.backup.verifying import verify as verified
from services.cli.account import account
from services.cli.console import console, print_json, print_stage, styled
from services.cli.context import Context, run, shared
from services.cli.work.opened import opened
from services.contracts.errors import DamagedBackup
from services.domain.ports.audit import AuditAct, AuditRecord
from services.runtime.clock import SystemClock

_NAMED = 3


def create(ctx: typer.Context, to: str, *, keep: int, snapshots: bool, repair: bool) -> None:
    """Run `gazeloop backup create`."""
    context = shared(ctx)
    folder = open_backups(to)
    manifest = run(
        lambda: _create(context, folder, _place(to), snapshots=snapshots, repair=repair),
        interrupted="No backup was made; run it again: images that were copied are not copied"
        " again.",
    )
    out = console()
    out.print(f"{_line(manifest)}", highlight=False)
    if manifest.unreadable_images:
        names = ", ".join(manifest.unreadable_images[:_NAMED])
        text = styled(
            "[yellow]{:,} images are missing from the blob store, or are not what was"
            " stored:[/] {}",
            len(manifest.unreadable_images),
            names,
        )
        out.print(text)
    if manifest.cut.backlog:
        out.print(
            f"{manifest.cut.backlog:,} records were not processed yet; only the broker has them.",
            highlight=False,
        )
    if keep:
        gone = folder.keep(keep)
        out.print(f"kept the newest {keep}; deleted {gone:,} images of older ones", highlight=False)


async def _create(
    context: Context, folder: Backups, place: str, *, snapshots: bool, repair: bool
) -> Manifest:
    async with opened(context.stored(), "backup") as app:
        # Before it is written, because images of an interrupted one stay, and erasures name it.
        record = AuditRecord(SystemClock().now(), AuditAct.BACKED_UP, account(), place)
        await app.stores.audit.append(record)
        return await back_up(
            app, folder, SystemClock(), print_stage, snapshots=snapshots, repair=repair
        )


def _place(to: str) -> str:
    """Where backups are, for the audit log: without a URL's user and password."""
    return re.sub("//[^/@]*@", "//", to) if "://" in to else str(Path(to).absolute())


def list_backups(ctx: typer.Context, to: str, *, as_json: bool) -> None:
    """Run `gazeloop backup list`."""
    del ctx
    folder = open_backups(to)
    found = [folder.manifest(name) for name in folder.names()]
    if as_json:
        print_json([_document(manifest) for manifest in found])
        return
    table = Table(box=None, header_style="dim")
    for column in ("backup", "documents", "vectors", "images", "not processed"):
        table.add_column(column, justify="left" if column == "backup" else "right")
    for manifest in found:
        table.add_row(
            manifest.name,
            f"{_documents(manifest):,}",
            f"{len(manifest.vectors):,} collections",
            f"{manifest.images:,}",
            f"{manifest.cut.backlog:,}",
        )
    console().print(table if table.row_count else f"{to} holds no backup", highlight=False)


def verify(ctx: typer.Context, to: str, *, name: str, as_json: bool) -> None:
    """Run `gazeloop backup verify`."""
    del ctx
    done = run(lambda: verified(open_backups(to), name), interrupted="Nothing was changed.")
    if as_json:
        print_json({**_document(done.manifest), "damaged_images": done.damaged})
    if done.damaged:
        names = ", ".join(done.damaged[:_NAMED])
        raise DamagedBackup(
            f"{len(done.damaged):,} images of the backup {done.manifest.name} are missing or"
            f" damaged: {names}"
        )
    if not as_json:
        console().print(f"{_line(done.manifest)}: every file and image is sound", highlight=False)


def _document(manifest: Manifest) -> dict[str, object]:
    """A backup as JSON."""
    return {
        "backup": manifest.name,
        "made_at": manifest.made_at,
        "gazeloop": manifest.gazeloop,
        "documents": _documents(manifest),
        "vectors": sorted(manifest.vectors),
        "images": manifest.images,
        "unreadable_images": manifest.unreadable_images,
        "not_processed": manifest.cut.backlog,
    }


def _line(manifest: Manifest) -> str:
    return f"{manifest.name}: {_documents(manifest):,} documents, {manifest.images:,} images"


def _documents(manifest: Manifest) -> int:
    return sum(manifest.files[path].documents for path in manifest.collections.values())
