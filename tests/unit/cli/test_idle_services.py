"""A service that others give something to do says so where nobody does, and waits."""

from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from services.app.assembly import deployed
from services.contracts.errors import InvalidSettings
from services.runtime.settings import Settings

RECEIVER = "lab=https://labelling.example/hook"
TOOL = "https://label-studio.example"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What is logged, however logs were set up before."""
    capture = LogCapture()
    log = structlog.wrap_logger(None, processors=[structlog.processors.add_log_level, capture])
    monkeypatch.setattr("services.app.consumers.registry.log", log)
    return capture


async def deployed_until_its_broker_is_missing(service: str, settings: Settings) -> None:
    with pytest.raises(InvalidSettings, match="GAZELOOP_KAFKA"):
        async with deployed(settings, service):
            pass


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("webhooks", "GAZELOOP_WEBHOOKS"),
        ("label_studio", "GAZELOOP_LABEL_STUDIO_URL"),
        ("bridge", "GAZELOOP_BRIDGE_TOPIC"),
    ],
)
async def test_a_service_with_nothing_to_do_warns_and_names_the_setting(
    service: str, variable: str, tmp_path: Path, logged: LogCapture
) -> None:
    await deployed_until_its_broker_is_missing(service, Settings(data=tmp_path))

    (message,) = logged.entries
    assert (message["event"], message["log_level"]) == ("nothing_to_do", "warning")
    assert message["service"] == service
    assert variable in message["remedy"]


@pytest.mark.parametrize(
    ("service", "given"),
    [
        ("webhooks", {"webhooks": RECEIVER}),
        ("label_studio", {"label_studio_url": TOOL}),
        ("bridge", {"bridge_topic": "detector.output"}),
        ("embedder", {}),
    ],
)
async def test_a_service_with_something_to_do_does_not_warn(
    service: str, given: dict[str, str], tmp_path: Path, logged: LogCapture
) -> None:
    settings = Settings.model_validate({"data": tmp_path, **given})

    await deployed_until_its_broker_is_missing(service, settings)

    assert not logged.entries
