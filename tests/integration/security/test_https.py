"""TLS where we speak HTTP: to Qdrant as a client, and to vehicles as a server."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.contracts.errors import InvalidSettings
from services.runtime.http.server import serving_http
from services.runtime.settings import Settings
from services.runtime.stores.vectors_open import open_vector_store
from tests.integration.security.certificates import Authority, Certificate
from tests.integration.security.parts import tls_server
from tests.integration.security.qdrant import KEY, Qdrant


@pytest.fixture
def sound_qdrant(sound: Certificate) -> Iterator[str]:
    with tls_server(Qdrant, sound) as port:
        yield f"https://localhost:{port}"


@pytest.fixture
def outdated_qdrant(expired: Certificate) -> Iterator[str]:
    with tls_server(Qdrant, expired) as port:
        yield f"https://localhost:{port}"


async def aliases(url: str, key: str, ca: Path | None) -> dict[str, str]:
    store = open_vector_store(Settings(qdrant=url, qdrant_api_key=key, qdrant_ca=ca))
    try:
        return await store.aliases()
    finally:
        await store.close()


async def test_the_right_key_is_let_in(sound_qdrant: str, authority: Authority) -> None:
    assert await aliases(sound_qdrant, KEY, authority.file) == {}


async def test_a_wrong_key_is_refused_by_its_settings_name(
    sound_qdrant: str, authority: Authority
) -> None:
    with pytest.raises(InvalidSettings, match="GAZELOOP_QDRANT_API_KEY") as refused:
        await aliases(sound_qdrant, "swordfish", authority.file)
    assert "swordfish" not in str(refused.value)


async def test_an_expired_certificate_is_refused(
    outdated_qdrant: str, authority: Authority
) -> None:
    with pytest.raises(InvalidSettings, match=r"renew.*GAZELOOP_QDRANT_CA"):
        await aliases(outdated_qdrant, KEY, authority.file)


async def test_ingest_speaks_tls_with_its_own_certificate(
    sound: Certificate, authority: Authority
) -> None:
    app = FastAPI()
    app.get("/")(lambda: "here")
    trusting = ssl.create_default_context(cafile=authority.file)
    served = serving_http(app, "127.0.0.1", 0, drain_s=1, certificate=sound.chain, key=sound.key)
    async with served as port, httpx.AsyncClient(verify=trusting) as client:
        answer = await client.get(f"https://localhost:{port}/")
    assert answer.json() == "here"


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    served = serving_http(
        FastAPI(), "127.0.0.1", 0, drain_s=1, certificate=tmp_path / "nothing.pem", key=None
    )
    with pytest.raises(InvalidSettings, match=r"GAZELOOP_TLS_CERTIFICATE=.*nothing\.pem"):
        async with served:
            pass
