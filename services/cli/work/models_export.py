"""What `gazeloop models export` does."""

import hashlib
from pathlib import Path

import typer

from services.cli.console import console, styled
from services.cli.context import shared
from services.embedder.models.choosing import EXPORTED_SUFFIX
from services.embedder.models.exporting import exported
from services.runtime.embedded.private_folder import as_the_user_writes


def export(ctx: typer.Context, to: Path) -> None:
    """Run `gazeloop models export`."""
    if to.suffix != EXPORTED_SUFFIX:
        raise typer.BadParameter(f"the file must end in {EXPORTED_SUFFIX}", param_hint="FILE.zip")
    content = exported(shared(ctx).settings()).content()
    with as_the_user_writes():
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    console().print(
        styled(
            "{}, {:.1f} MB\n[dim]Use it: GAZELOOP_EMBEDDER={}\n"
            "Its sha256, for GAZELOOP_WEIGHTS_SHA256: {}[/]",
            to,
            len(content) / 1e6,
            to,
            sha256,
        ),
        soft_wrap=True,
    )
