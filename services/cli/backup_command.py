"""`gazeloop backup`: back up the stores, the images and the services' offsets."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.cli.examples import example
from services.cli.lazy import done_by

_Folder = Annotated[
    str, typer.Argument(metavar="TO", help="Folder or bucket of the backups.", show_default=False)
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class _CreatesByDefault(TyperGroup):
    """`gazeloop backup TO` stands for `gazeloop backup create TO`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["create", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_CreatesByDefault, no_args_is_help=True)


@app.callback(epilog=example("backup /mnt/backups", "backup verify /mnt/backups"))
def backup() -> None:
    """Back up the stores, images and offsets while services run: `gazeloop backup TO`.

    `gazeloop restore` restores a backup. docs/backup.md lists its contents.
    """


@app.command(
    "create", epilog=example("backup create /mnt/backups", "backup create /mnt/backups --keep 7")
)
@done_by("services.cli.work.backup")
def create(
    ctx: typer.Context,
    to: _Folder,
    *,
    keep: Annotated[
        int,
        typer.Option(min=0, help="Delete all but this many of the newest backups; 0: keep all."),
    ] = 0,
    snapshots: Annotated[
        bool,
        typer.Option(
            "--snapshots",
            help="Keep snapshots of the Qdrant server, with its indexes, in place of points; only"
            " Qdrant of the same minor version takes them back.",
        ),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Read the images of earlier backups too, and copy damaged ones again."
        ),
    ] = False,
) -> None:
    """Write a backup; images that an earlier one has are not copied again.

    Services may run. An interrupted run leaves no backup; the next one continues with the images.
    """


@app.command("list", epilog=example("backup list /mnt/backups", "backup list /mnt/backups --json"))
@done_by("services.cli.work.backup")
def list_backups(
    ctx: typer.Context,
    to: _Folder,
    *,
    as_json: _Json = False,
) -> None:
    """List the backups of a folder, oldest first."""


@app.command("verify", epilog=example("backup verify /mnt/backups"))
@done_by("services.cli.work.backup")
def verify(
    ctx: typer.Context,
    to: _Folder,
    *,
    name: Annotated[
        str, typer.Option("--backup", metavar="NAME", help="Which one. Default: the newest.")
    ] = "",
    as_json: _Json = False,
) -> None:
    """Read all of a backup, and compare every file and image with its digest."""
