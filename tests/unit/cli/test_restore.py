"""What `gazeloop restore` prints, and how it ends."""

import pytest
import typer

from services.app.backup.manifest import Cut, Manifest
from services.app.backup.restoring import Restored
from services.cli.work.restore import conclude
from services.runtime.settings import Settings
from tests.samples import CAPTURED_AT

MANIFEST = Manifest(
    name="20260504T120000.000Z",
    made_at=CAPTURED_AT,
    gazeloop="1.0.0",
    stores=2,
    cut=Cut(cluster="a", offsets={}, backlog=0),
    at_one_moment=True,
    files={},
    collections={},
    vectors={},
    aliases={},
    images=2,
    unreadable_images=[],
    settings={},
)


def test_lost_images_are_named_and_are_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(Restored(MANIFEST, goes_on=True, erased=0, lost_images=[]), Settings())
    assert "images" not in capsys.readouterr().out

    done = Restored(MANIFEST, goes_on=True, erased=0, lost_images=["blob:ab/abc"])
    with pytest.raises(typer.Exit) as ended:
        conclude(done, Settings())

    assert ended.value.exit_code == 1
    assert "1 images are missing from the backup, or damaged there: blob:ab/abc." in (
        capsys.readouterr().out
    )
