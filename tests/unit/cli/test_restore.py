"""What `gazeloop restore` prints, and how it ends."""

from dataclasses import replace

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


DONE = Restored(MANIFEST, goes_on=True, erased=0, lost_images=[], valid_tokens=0)


def test_a_complete_restore_warns_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(DONE, Settings())
    printed = capsys.readouterr().out
    assert "restored 20260504T120000.000Z" in printed
    assert "images" not in printed
    assert "tokens" not in printed


def test_lost_images_are_named_and_are_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        conclude(replace(DONE, lost_images=["blob:ab/abc"]), Settings())
    assert ended.value.exit_code == 1
    lost = "1 images are missing from the backup, or damaged there: blob:ab/abc."
    assert lost in capsys.readouterr().out


def test_tokens_that_may_have_been_revoked_later_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conclude(replace(DONE, valid_tokens=3), Settings())
    assert "3 tokens are valid: revoke those again" in capsys.readouterr().out
