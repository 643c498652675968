"""What the service does beside its topics: there and back, without a command."""

from services.cli.label_studio_parts import carrying
from services.runtime.clock import SystemClock
from tests.deadline import until
from tests.integration.label_studio.conftest import Desk
from tests.integration.label_studio.test_pulling import FRAME, box


def is_pushed(desk: Desk) -> bool:
    titles = {each["title"] for each in desk.server._get("/api/projects")["results"]}
    return desk.title in titles and len(desk.server.tasks(desk.title)) == 4


async def test_what_is_asked_goes_out_and_what_is_submitted_comes_back(desk: Desk) -> None:
    quick = desk.settings.model_copy(update={"label_studio_poll_s": 0.2})

    async with carrying(desk.stores, desk.outbox, quick, SystemClock()):
        await until(lambda: is_pushed(desk))
        desk.server.submit(int(desk.task_of(FRAME)["id"]), [box()])
        await until(lambda: bool(desk.corrections))

    (correction,) = desk.corrections
    assert (correction.frame_id, correction.revision) == (FRAME, 2)
