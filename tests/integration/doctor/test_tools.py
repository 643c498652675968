"""What the doctor says of webhooks' receivers, Label Studio and CVAT, fit and unfit."""

import base64
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr

from services.app.doctor import tools
from services.app.doctor.examining import examine
from services.app.doctor.tools import look_at_cvat, look_at_webhooks
from services.contracts.errors import InvalidSettings
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from tests.integration.cvat.protocol import TOKEN, serving
from tests.integration.doctor.conftest import findings_of, settings_for

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


class Answering(BaseHTTPRequestHandler):
    """Says 405 to HEAD, as receivers do that only know POST."""

    def do_HEAD(self) -> None:
        self.send_error(405)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        pass


async def test_receivers_that_answer_and_those_that_do_not_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "_ANSWERED_WITHIN_S", 240.0)  # the one that is gone refuses at once
    for name in ("here", "gone"):
        (tmp_path / name).write_text(SECRET)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        port = server.server_address[1]
        named = f"here=http://127.0.0.1:{port}/a-key,gone=http://127.0.0.1:1/a-key"
        settings = Settings(webhooks=named, webhook_secrets=tmp_path)
        found = await look_at_webhooks(settings)
        server.shutdown()
        thread.join()

    text = findings_of(found, "webhooks")
    assert f"ok: here at 127.0.0.1:{port} answers" in text
    assert "warning: gone at 127.0.0.1:1 does not answer" in text
    assert "a-key" not in text


async def test_what_is_named_and_wrong_is_an_error_and_the_others_are_looked_at(
    mongodb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CVAT's SDK tries three times; what it waits in between shows nothing.
    monkeypatch.setattr("urllib3.util.Retry.get_backoff_time", lambda _: 0.0)
    away = "http://127.0.0.1:1"
    settings = settings_for(
        "memory://1",
        mongodb_url,
        tmp_path,
        webhooks="team=https://team.example/hook",
        delivery_timeout_s=1,
    ).model_copy(
        update={"label_studio_url": away, "label_studio_token": SecretStr("t"), "cvat_url": away}
    )
    found = await examine(settings, SystemClock(), model=False)

    assert "error: " in findings_of(found, "webhooks")
    assert "holds no secret" in findings_of(found, "webhooks")
    assert f"Label Studio at {away} does not answer" in findings_of(found, "label_studio")
    assert "127.0.0.1" in findings_of(found, "cvat")
    assert "can be written" in findings_of(found, "mongodb")


def test_cvat_is_asked_with_our_token() -> None:
    with serving() as cvat:
        good = Settings(cvat_url=cvat.url, cvat_token=SecretStr(TOKEN))
        assert "ok: " in findings_of(look_at_cvat(good), "cvat")
        with pytest.raises(InvalidSettings, match="GAZELOOP_CVAT_TOKEN"):
            look_at_cvat(good.model_copy(update={"cvat_token": SecretStr("no")}))
