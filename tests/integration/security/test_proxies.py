"""What a server makes of proxies before it, of host names, and of requests with two lengths."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse

from services.annotation.review.app import build_review_app
from services.contracts.errors import InvalidSettings
from services.runtime.http.server import serving_http
from services.runtime.settings_reading import load_settings
from tests.review_world import Seed, World, review_world, seeded

FORWARDED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
PUBLIC = "review.example"


@pytest.fixture(scope="session")
def seed(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return asyncio.run(seeded(mongodb_url, tmp_path_factory.mktemp("proxies"), needles=1))


@pytest.fixture
async def world(seed: Seed) -> AsyncIterator[World]:
    async with review_world(seed) as world:
        yield world


def page(world: World) -> FastAPI:
    server = FastAPI()
    server.mount("/review", build_review_app(world.context))
    return server


def mirror() -> FastAPI:
    """Says what it makes of a request."""
    app = FastAPI()

    @app.get("/who")
    async def who(request: Request) -> dict[str, object]:
        client = request.client.host if request.client else None
        return {"client": client, "scheme": request.url.scheme}

    @app.post("/who")
    async def body(request: Request) -> int:
        return len(await request.body())

    app.add_api_route("/healthz", lambda: {"status": "ok"})
    app.add_api_route("/", lambda: RedirectResponse("/who"))
    return app


async def test_a_trusted_proxy_says_who_the_client_is_and_that_it_came_by_https(
    world: World,
) -> None:
    served = serving_http(
        page(world), "127.0.0.1", 0, drain_s=1, hosts=[PUBLIC], proxies=["127.0.0.0/8"]
    )
    async with served as port, httpx.AsyncClient() as client:
        headers = FORWARDED | {"Host": PUBLIC, "Origin": f"https://{PUBLIC}"}
        url = f"http://127.0.0.1:{port}/review"
        answer = await client.post(f"{url}/login", data={"token": world.token}, headers=headers)
        redirected = await client.get(url, headers=headers)

    assert answer.status_code == 303
    assert "Secure" in answer.headers["Set-Cookie"]
    assert redirected.headers["Location"].startswith(f"https://{PUBLIC}/review/")


async def test_clients_behind_a_trusted_proxy_have_limits_of_their_own(world: World) -> None:
    served = serving_http(page(world), "127.0.0.1", 0, drain_s=1, proxies=["127.0.0.1"])
    async with served as port, httpx.AsyncClient() as client:

        async def guess(address: str) -> int:
            url = f"http://127.0.0.1:{port}/review/login"
            headers = {"X-Forwarded-For": address}
            answer = await client.post(url, data={"token": "gz-guess"}, headers=headers)
            return answer.status_code

        one = [await guess("203.0.113.9") for _ in range(21)]
        # What the client itself wrote before the proxy's own entry does not make it another one.
        forged = await guess("198.51.100.1, 203.0.113.9")
        other = await guess("203.0.113.10")

    assert one == [422] * 20 + [429]
    assert (forged, other) == (429, 422)


async def test_headers_of_an_untrusted_address_mean_nothing(world: World) -> None:
    async with (
        serving_http(page(world), "127.0.0.1", 0, drain_s=1) as port,
        serving_http(mirror(), "127.0.0.1", 0, drain_s=1, proxies=["10.0.0.0/8"]) as other,
        httpx.AsyncClient() as client,
    ):
        url = f"http://127.0.0.1:{port}/review/login"
        answer = await client.post(url, data={"token": world.token}, headers=FORWARDED)
        who = await client.get(f"http://127.0.0.1:{other}/who", headers=FORWARDED)

    assert "Secure" not in answer.headers["Set-Cookie"]
    assert who.json() == {"client": "127.0.0.1", "scheme": "http"}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""]
)
async def test_a_request_for_an_unknown_host_is_refused(host: str) -> None:
    async with serving_http(mirror(), "127.0.0.1", 0, drain_s=1) as port:
        refused = await exchange(port, f"GET /who HTTP/1.1\r\nHost: {host}\r\n\r\n")

    assert refused.startswith("HTTP/1.1 421 ")
    assert '"reason":"unknown_host"' in refused
    assert "GAZELOOP_ALLOWED_HOSTS" in refused


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "127.0.0.1:{port}", "[::1]:{port}", "a.example", "a.example."],
)
async def test_loopback_and_the_hosts_that_are_listed_are_known(host: str) -> None:
    async with serving_http(mirror(), "127.0.0.1", 0, drain_s=1, hosts=["A.example"]) as port:
        named = host.format(port=port)
        answer = await exchange(
            port, f"GET /who HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n"
        )

    assert answer.startswith("HTTP/1.1 200 ")


async def test_the_address_that_a_request_has_reached_is_known_on_all_interfaces() -> None:
    async with serving_http(mirror(), "0.0.0.0", 0, drain_s=1) as port:  # is meant
        reached = await exchange(
            port, "GET /who HTTP/1.1\r\nHost: 127.0.0.2\r\nConnection: close\r\n\r\n", "127.0.0.2"
        )
        other = await exchange(port, "GET /who HTTP/1.1\r\nHost: 127.0.0.3\r\n\r\n", "127.0.0.2")

    assert reached.startswith("HTTP/1.1 200 ")
    assert other.startswith("HTTP/1.1 421 ")


async def test_a_probe_is_answered_whatever_host_it_names() -> None:
    async with serving_http(mirror(), "127.0.0.1", 0, drain_s=1) as port:
        answer = await exchange(
            port, "GET /healthz HTTP/1.1\r\nHost: 10.1.2.3:8000\r\nConnection: close\r\n\r\n"
        )

    assert answer.startswith("HTTP/1.1 200 ")


async def test_a_request_with_two_lengths_is_refused_and_nothing_follows_it() -> None:
    smuggled = "GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request = (
        "POST /who HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    )
    async with serving_http(mirror(), "127.0.0.1", 0, drain_s=1) as port:
        answer = await exchange(port, request)

    assert answer.startswith("HTTP/1.1 400 ")
    assert '"reason":"ambiguous_length"' in answer
    assert answer.count("HTTP/1.1") == 1


@pytest.mark.parametrize("given", ["proxy.example", "*", "10.0.0.1/8"])
def test_a_trusted_proxy_that_is_no_address_is_named(given: str) -> None:
    with pytest.raises(InvalidSettings, match="GAZELOOP_TRUSTED_PROXIES"):
        load_settings(trusted_proxies=given)


def test_the_hosts_of_the_public_addresses_are_known() -> None:
    settings = load_settings(
        public_url="https://Ingest.example:8443/",
        review_url="https://Review.example/review",
        allowed_hosts="a.example, b",
    )

    assert settings.hosts == ["a.example", "b", "ingest.example", "review.example"]


async def exchange(port: int, request: str, address: str = "127.0.0.1") -> str:
    """All that the server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(request.encode())
    answer = await asyncio.wait_for(reader.read(), 240)
    writer.close()
    await writer.wait_closed()
    return answer.decode()
