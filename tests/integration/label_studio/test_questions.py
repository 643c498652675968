"""`gazeloop questions`: what a real Label Studio brought and nobody understood is answered."""

from typing import cast

import pytest

from services.app.parts import App
from services.cli.work.questions import answer_label, choose_version
from services.contracts.errors import InvalidSettings
from tests.integration.label_studio.conftest import Studio
from tests.integration.label_studio.test_pulling import box


async def _asked(studio: Studio, *labels: str) -> App:
    """The commands' view of a studio on which each of these labels was submitted for one task."""
    await studio.parts.pusher.push()
    task = int(studio.task_of("h000-0")["id"])
    for label in labels:
        studio.server.submit(task, [box(label=label)])
    await studio.parts.puller.pull()
    return cast("App", studio)  # it has the stores and the outbox; the commands use no more


async def test_an_answered_label_is_published_and_understood_from_then_on(
    studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    app = await _asked(studio, "trafic sign")
    with pytest.raises(InvalidSettings, match="no category 'stp sign'"):
        await answer_label(app, "trafic sign", "stp sign", new=False)
    assert studio.corrections == []

    await answer_label(app, "trafic sign", "stop sign", new=False)

    assert "1 settled, 0 still wait" in capsys.readouterr().out
    assert [correction.annotations[0].category for correction in studio.corrections] == [
        "stop sign"
    ]
    later = int(studio.task_of("h000-1")["id"])
    studio.server.submit(later, [box(label="trafic sign")])
    assert (await studio.parts.puller.pull()).published == 1
    assert studio.corrections[-1].annotations[0].category == "stop sign"


@pytest.mark.parametrize(("version", "published"), [(2, ["yield"]), (0, [])])
async def test_of_two_who_disagree_one_counts_or_none(
    studio: Studio, version: int, published: list[str]
) -> None:
    app = await _asked(studio, "stop sign", "yield")
    (held,) = await studio.stores.held.waiting()
    with pytest.raises(InvalidSettings, match="it has 2 versions"):
        await choose_version(app, held.held_id[:8], 3)

    await choose_version(app, held.held_id[:8], version)

    assert [correction.annotations[0].category for correction in studio.corrections] == published
    with pytest.raises(InvalidSettings, match="0 waiting corrections"):
        await choose_version(app, held.held_id[:8], 1)
