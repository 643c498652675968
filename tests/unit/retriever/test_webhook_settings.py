"""Who may be sent shortlists, and with which secrets; signatures by the scheme's own library."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.annotation.webhooks.receivers import names_of, receivers_of
from services.annotation.webhooks.signing import headers, secret_of
from services.app.backup.manifest import Manifest, settings_kept
from services.contracts.errors import InvalidSettings
from services.runtime.settings import Settings

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
BODY = json.dumps({"needle_id": "é"}).encode()


def settings(webhooks: str, folder: Path, *, give_up_s: float = 120.0) -> Settings:
    return Settings(webhooks=webhooks, webhook_secrets=folder, webhook_give_up_s=give_up_s)


def signed(*secrets: str) -> dict[str, str]:
    now = int(datetime.now(UTC).timestamp())
    return headers("event-1", now, BODY, [secret_of(secret) for secret in secrets])


@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER, SECRET), (SECRET, OTHER)])
def test_the_schemes_own_library_verifies_what_we_sign(secrets: tuple[str, ...]) -> None:
    assert Webhook(SECRET).verify(BODY, signed(*secrets)) == {"needle_id": "é"}


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY + b" ", {}),
        (BODY, {"webhook-id": "event-2"}),
        (BODY, {"webhook-timestamp": "1"}),
        (BODY, {"webhook-signature": signed(OTHER)["webhook-signature"]}),
    ],
)
def test_whatever_is_changed_on_the_way_verifies_no_more(
    body: bytes, changed: dict[str, str]
) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, signed(SECRET) | changed)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_short", SECRET.removeprefix("whsec_"), "ü"])
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        secret_of(text)
    assert len(text) < 10 or text not in str(caught.value)


def test_receivers_have_their_secrets_from_files_of_their_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"{SECRET}\n", encoding="utf-8-sig")  # as some editors write
    (tmp_path / "b-2").write_text(f"{OTHER}\n{SECRET}\n")

    a, b = receivers_of(settings("a=https://x.example/h?k=1, b-2=http://[::1]:8/x", tmp_path))

    assert (a.name, a.url, a.secrets) == ("a", "https://x.example/h?k=1", (secret_of(SECRET),))
    assert b.secrets == (secret_of(OTHER), secret_of(SECRET))
    assert SECRET not in repr(a)
    assert receivers_of(settings("", tmp_path)) == []


@pytest.mark.parametrize(
    ("webhooks", "message"),
    [
        ("https://x.example/", "NAME=URL"),
        ("A b=https://x.example/", "NAME=URL"),
        ("../a=https://x.example/", "NAME=URL"),
        ("a=https://x.example/,a=https://y.example/", "NAME=URL"),
        ("a=http://x.example/", "https:// is required"),
        ("a=http://127.0.0.1.x.example/", "https:// is required"),
        ("a=ftp://x.example/", "https:// is required"),
        (f"{'a' * 41}=https://x.example/", "NAME=URL"),
        ("-a=https://x.example/", "NAME=URL"),
        ("a=https://user:password@x.example/", "no user"),
        ("a=https://@x.example/", "no user"),
        ("a=https://x.example/#part", "no fragment"),
        ("a=https:///path", "not an address"),
        ("a=https://x.example:99999/", "Port"),
    ],
)
def test_an_address_that_may_not_be_sent_to_is_refused(webhooks: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        names_of(Settings(webhooks=webhooks))


@pytest.mark.parametrize(
    "url", ["https://x.example/", "http://localhost:8/", "http://127.0.0.1/", "http://[::1]/"]
)
def test_an_address_with_https_or_of_this_machine_is_allowed(url: str) -> None:
    name = "a" * 40

    assert names_of(Settings(webhooks=f" {name}={url} ,")) == [name]


@pytest.mark.parametrize("length", [24, 64])
def test_a_secret_has_24_to_64_bytes(length: int) -> None:
    def encoded(count: int) -> str:
        return "whsec_" + base64.b64encode(bytes(count)).decode()

    assert secret_of(encoded(length)) == bytes(length)
    for count in (23, 65):
        with pytest.raises(InvalidSettings, match="24 to 64 bytes"):
            secret_of(encoded(count))


def test_trying_for_half_of_the_stall_limit_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(SECRET)
    half = Settings().stall_limit_s / 2

    assert len(receivers_of(settings("a=https://x.example/", tmp_path, give_up_s=half))) == 1
    with pytest.raises(InvalidSettings, match="STALL_LIMIT"):
        receivers_of(settings("a=https://x.example/", tmp_path, give_up_s=half + 1))


def test_a_key_in_an_address_is_in_no_backup_and_no_error() -> None:
    named = Settings(webhooks="a=https://x.example/hush?hush,b=https://me:hush@y.example")

    assert settings_kept(named)["webhooks"] == "a=https://x.example/***,b=https://y.example"
    kept: dict[str, Any] = {"settings": {"webhooks": named.webhooks, "gone": "1"}}
    old = Manifest.model_construct(**kept)
    assert "webhooks" not in old.differing(named)
    assert old.differing(named)["gone"] == ("1", "default")
    with pytest.raises(InvalidSettings, match=r"x\.example") as caught:
        names_of(Settings(webhooks="https://x.example/hush"))
    assert "hush" not in str(caught.value)


def test_a_missing_secret_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="openssl rand"):
        receivers_of(settings("a=https://x.example/", tmp_path))


def test_trying_may_not_look_like_a_service_that_hangs(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(SECRET)
    with pytest.raises(InvalidSettings, match="STALL_LIMIT"):
        receivers_of(settings("a=https://x.example/", tmp_path, give_up_s=200.0))
