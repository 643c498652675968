"""What the page keeps out."""

import asyncio
from hashlib import sha256
from http import HTTPStatus

import httpx
import pytest
from fastapi import FastAPI

from services.runtime.http.server import serving_http
from services.runtime.http.tokens import issue
from tests.integration.review.conftest import BASE, Browser, served
from tests.review_world import needle_id_of

DEADLINE_S = 240
PAGES = [
    "/",
    "/needles",
    f"/needles/{needle_id_of(0)}",
    "/frames?id=r000",
    "/charts",
    "/versions",
    "/budgets",
    "/picture",
]


@pytest.mark.parametrize("path", [*PAGES, "/dead-letters"])
async def test_nothing_is_shown_to_somebody_who_is_not_logged_in(
    visitor: Browser, path: str
) -> None:
    answer = await visitor.get(path)

    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert answer.headers["Location"].startswith("/review/login?next=/review")


async def test_a_vehicles_token_does_not_let_a_person_in(visitor: Browser) -> None:
    token, record = issue("vehicle:v1", visitor.world.clock.now())
    await visitor.world.stores.tokens.add(record)

    answer = await visitor.post_raw("/login", {"token": token})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "Set-Cookie" not in answer.headers


async def test_a_cookie_is_of_no_use_once_its_token_is_revoked(ana: Browser) -> None:
    token_id = (await ana.world.stores.tokens.list())[0].token_id
    await ana.world.stores.tokens.revoke(token_id, ana.world.clock.now())

    assert (await ana.get("/needles")).status_code == HTTPStatus.SEE_OTHER


async def test_a_forged_cookie_is_no_login(visitor: Browser) -> None:
    visitor.client.cookies.set("gazeloop_review", "WyJhIiwiYiIsImMiXQ.aaaa.bbbb")

    assert (await visitor.get("/needles")).status_code == HTTPStatus.SEE_OTHER


async def test_the_cookie_is_kept_from_scripts_and_other_sites(visitor: Browser) -> None:
    answer = await visitor.post_raw("/login", {"token": visitor.world.token})

    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/review" in cookie


@pytest.mark.parametrize(
    "given",
    ["https://evil.example/", "//evil.example/review/", "/review\\@evil", "javascript:x", "//["],
)
async def test_login_leads_to_no_other_site(visitor: Browser, given: str) -> None:
    form = await visitor.client.get(f"{BASE}/login", params={"next": given})
    assert form.status_code == HTTPStatus.OK
    assert 'name="next" value="/review/"' in form.text

    answer = await visitor.post_raw("/login", {"token": visitor.world.token, "next": given})

    assert answer.headers["Location"] == "/review/"


async def test_guessing_tokens_is_slowed_down_and_keeps_nobody_out(visitor: Browser) -> None:
    for _ in range(20):
        await visitor.post_raw("/login", {"token": "gz-guess"})

    guessed = await visitor.post_raw("/login", {"token": "gz-guess"})
    right = await visitor.post_raw("/login", {"token": visitor.world.token})

    assert guessed.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert "Too many wrong tokens" in guessed.text
    assert right.status_code == HTTPStatus.SEE_OTHER


async def test_the_limit_on_guesses_is_each_clients_own(visitor: Browser, app: FastAPI) -> None:
    for _ in range(21):
        await visitor.post_raw("/login", {"token": "gz-guess"})
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as other:
        guessed = await other.post(f"{BASE}/login", data={"token": "gz-guess"})

    assert guessed.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


async def test_a_copied_cookie_is_of_no_use_once_its_owner_has_logged_out(
    ana: Browser, visitor: Browser
) -> None:
    copied = ana.client.cookies.get("gazeloop_review", path="/review")
    assert copied is not None
    visitor.client.cookies.set("gazeloop_review", copied, path="/review")
    assert (await visitor.get("/needles")).status_code == HTTPStatus.OK

    await ana.post("/logout", {})

    assert (await visitor.get("/needles")).status_code == HTTPStatus.SEE_OTHER
    assert (await visitor.post("/logout", {})).status_code == HTTPStatus.SEE_OTHER


async def test_logging_out_ends_no_other_session(ana: Browser, ben: Browser) -> None:
    await ana.post("/logout", {})

    assert (await ben.get("/needles")).status_code == HTTPStatus.OK


async def test_another_replica_knows_who_is_in_and_who_has_logged_out(ana: Browser) -> None:
    restarted = Browser(ana.world, served(ana.world))
    restarted.client.cookies = ana.client.cookies
    assert (await restarted.get("/needles")).status_code == HTTPStatus.OK

    restarted.csrf = ana.csrf
    await restarted.post("/logout", {})

    assert (await ana.get("/needles")).status_code == HTTPStatus.SEE_OTHER
    await restarted.client.aclose()


async def test_a_session_ends_after_a_working_day(ana: Browser) -> None:
    await ana.world.clock.sleep(12 * 3600 - 1)
    assert (await ana.get("/needles")).status_code == HTTPStatus.OK

    await ana.world.clock.sleep(1)

    assert (await ana.get("/needles")).status_code == HTTPStatus.SEE_OTHER


async def test_the_store_keeps_no_cookie_that_would_let_anybody_in(ana: Browser) -> None:
    cookie = ana.client.cookies.get("gazeloop_review", path="/review")
    assert cookie is not None

    assert await ana.world.stores.sessions.find(cookie) is None
    assert await ana.world.stores.sessions.find(sha256(cookie.encode()).hexdigest()) is not None


async def test_a_person_has_the_name_of_their_token_whatever_they_write(visitor: Browser) -> None:
    await visitor.post_raw("/login", {"name": "Mallory", "token": visitor.world.token})

    page = (await visitor.get("/needles")).text

    assert 'title="Ana"' in page
    assert "Mallory" not in page


async def test_a_token_from_before_accounts_lets_in_under_its_public_id(visitor: Browser) -> None:
    token, record = issue("annotation", visitor.world.clock.now())
    await visitor.world.stores.tokens.add(record)

    await visitor.post_raw("/login", {"token": token})

    assert f'title="annotation-{record.token_id[:8]}"' in (await visitor.get("/needles")).text


@pytest.mark.parametrize("act", ["decisions", "undo", "corrections", "claim"])
async def test_a_form_without_the_sessions_own_mark_changes_nothing(ana: Browser, act: str) -> None:
    path = f"/needles/{needle_id_of(0)}/{act}"

    answer = await ana.post_raw(path, {"csrf": "0" * 64, "act": "accept", "region": "x@0"})

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert await ana.world.stores.reviews.events(needle_id_of(0)) == []


async def test_one_persons_mark_is_no_good_in_anothers_session(ana: Browser, ben: Browser) -> None:
    answer = await ben.post_raw(f"/needles/{needle_id_of(0)}/undo", {"csrf": ana.csrf})

    assert answer.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "//["}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_what_another_site_sends_is_refused(ana: Browser, headers: dict[str, str]) -> None:
    answer = await ana.post(f"/needles/{needle_id_of(0)}/undo", {}, **headers)

    assert answer.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("path", [*PAGES[:-1], "/dead-letters", "/login", "/nowhere"])
async def test_no_page_allows_inline_script_or_foreign_content(ana: Browser, path: str) -> None:
    answer = await ana.get(path)

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert " style=" not in answer.text
    assert "onclick" not in answer.text


async def test_what_users_write_is_shown_as_text(ana: Browser) -> None:
    page = (await ana.get(f"/needles/{needle_id_of(1)}")).text

    assert "&lt;script&gt;alert(" in page
    assert "<script>alert(" not in page


async def test_the_bytes_of_dead_letters_are_shown_as_text(ana: Browser) -> None:
    page = (await ana.get("/dead-letters")).text

    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;ends" in page


@pytest.mark.parametrize(
    "query",
    [
        "frame=/etc/passwd",
        "frame=file:///etc/passwd",
        "frame=..%2F..%2Fetc",
        "frame=r000&size=huge",
    ],
)
async def test_only_pictures_of_known_frames_are_opened(ana: Browser, query: str) -> None:
    assert (await ana.get(f"/picture?{query}")).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("box", ["1,2,3", "nan,0,1,1", "inf,0,1,1", "1e300,0,1,1", "a,b,c,d"])
async def test_a_box_that_is_none_is_refused(ana: Browser, box: str) -> None:
    answer = await ana.get(f"/picture?frame=r000&box={box}")

    assert answer.status_code == HTTPStatus.BAD_REQUEST


async def test_a_form_larger_than_any_of_ours_is_refused(ana: Browser) -> None:
    path = f"/needles/{needle_id_of(0)}/decisions"

    answer = await ana.post(path, {"act": "accept", "region": "x" * 70_000})

    assert answer.status_code == HTTPStatus.FORBIDDEN


async def test_a_form_that_trickles_is_refused_and_its_connection_closed(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runtime.http.body_speed._BODY_S", 0.1)
    head = (
        b"POST /review/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    async with serving_http(app, "127.0.0.1", 0, drain_s=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        async with asyncio.timeout(DEADLINE_S):
            answer = await reader.read()  # until the other side closes
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
