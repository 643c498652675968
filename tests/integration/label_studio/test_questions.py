"""`gazeloop questions`: what a real Label Studio brought and nobody understood is answered."""

from typing import cast

import pytest

from services.app.parts import App
from services.cli.questions_command import answer_label, choose_version
from services.contracts.errors import InvalidSettings
from tests.integration.label_studio.conftest import Desk
from tests.integration.label_studio.test_pulling import box


async def _asked(desk: Desk, *labels: str) -> App:
    """The commands' view of a desk on which each of these labels was submitted for one task."""
    await desk.parts.pusher.push()
    task = int(desk.task_of("h000-0")["id"])
    for label in labels:
        desk.server.submit(task, [box(label=label)])
    await desk.parts.puller.pull()
    return cast("App", desk)  # it has the stores and the outbox; the commands use no more


async def test_an_answered_label_is_published_and_understood_from_then_on(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    app = await _asked(desk, "trafic sign")
    with pytest.raises(InvalidSettings, match="no category 'stp sign'"):
        await answer_label(app, "trafic sign", "stp sign", new=False)
    assert desk.corrections == []

    await answer_label(app, "trafic sign", "stop sign", new=False)

    assert "1 settled, 0 still wait" in capsys.readouterr().out
    assert [each.annotations[0].category for each in desk.corrections] == ["stop sign"]
    later = int(desk.task_of("h000-1")["id"])
    desk.server.submit(later, [box(label="trafic sign")])
    assert (await desk.parts.puller.pull()).published == 1
    assert desk.corrections[-1].annotations[0].category == "stop sign"


@pytest.mark.parametrize(("version", "published"), [(2, ["yield"]), (0, [])])
async def test_of_two_who_disagree_one_counts_or_none(
    desk: Desk, version: int, published: list[str]
) -> None:
    app = await _asked(desk, "stop sign", "yield")
    (held,) = await desk.stores.held.waiting()
    with pytest.raises(InvalidSettings, match="it has 2 versions"):
        await choose_version(app, held.held_id[:8], 3)

    await choose_version(app, held.held_id[:8], version)

    assert [each.annotations[0].category for each in desk.corrections] == published
    with pytest.raises(InvalidSettings, match="0 waiting corrections"):
        await choose_version(app, held.held_id[:8], 1)
