"""Who MongoDB lets in, to what, and what is said to all others."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from services.contracts.errors import InvalidSettings
from services.runtime.settings import Settings
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.mongo import connect_as_set
from services.runtime.stores.store_version import require_version
from tests import samples
from tests.integration.security.certificates import Authority, Certificate
from tests.integration.security.parts import PASSWORD, tls_server


@pytest.fixture
def outdated(expired: Certificate) -> Iterator[str]:
    """A server whose certificate has expired; mongod itself would not start with it."""
    with tls_server(BaseHTTPRequestHandler, expired) as port:
        yield f"mongodb://localhost:{port}/"


def settings_of(
    url: str, ca: Path | None, user: str = "gazeloop-evaluator", password: str = PASSWORD
) -> Settings:
    return Settings(
        mongodb=url, mongodb_tls=True, mongodb_ca=ca, mongodb_user=user, mongodb_password=password
    )


async def stored(settings: Settings) -> None:
    """Write one frame and read it again."""
    database = connect_as_set(settings)
    try:
        await require_version(database)  # others open these stores too
        frames = MongoFrameStore(database)
        frame = samples.frame_captured("secured")
        await frames.record([frame])
        assert (await frames.load([frame.frame_id]))[frame.frame_id].captured == frame
    finally:
        await database.client.close()


async def refusal(settings: Settings) -> str:
    with pytest.raises(InvalidSettings) as refused:
        await stored(settings)
    message = str(refused.value)
    assert settings.mongodb_password.get_secret_value() not in message
    return message


async def test_a_service_writes_and_reads(mongodb: str, authority: Authority) -> None:
    await stored(settings_of(mongodb, authority.file))


async def test_a_wrong_password_is_refused_by_its_settings_name(
    mongodb: str, authority: Authority
) -> None:
    message = await refusal(settings_of(mongodb, authority.file, password="swordfish"))
    assert "GAZELOOP_MONGODB_PASSWORD" in message


async def test_a_stranger_is_refused_with_the_role_to_grant(
    mongodb: str, authority: Authority
) -> None:
    message = await refusal(settings_of(mongodb, authority.file, user="stranger"))
    assert "readWrite" in message


async def test_an_expired_certificate_is_refused(outdated: str, authority: Authority) -> None:
    message = await refusal(settings_of(outdated, authority.file))
    assert "GAZELOOP_MONGODB_CA" in message
    assert "renew" in message


async def test_an_authority_that_cannot_be_read_is_named(mongodb: str, tmp_path: Path) -> None:
    message = await refusal(settings_of(mongodb, tmp_path / "nothing.pem"))
    assert "nothing.pem" in message
