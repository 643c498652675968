import gzip
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from services.annotation.review.static_files import static_files
from services.annotation.review.static_routes import router

STYLE = "body { color: red; }"


@pytest.fixture
def browser(tmp_path: Path) -> AsyncClient:
    (tmp_path / "page.css").write_text(STYLE)
    app = FastAPI()
    app.state.static_files = static_files(tmp_path)
    app.include_router(router)
    return AsyncClient(transport=ASGITransport(app), base_url="http://page")


async def test_a_file_is_sent_compressed_to_who_can_read_that(browser: AsyncClient) -> None:
    plain = await browser.get("/static/page.css", headers={"Accept-Encoding": "identity"})
    compressed = await browser.get("/static/page.css", headers={"Accept-Encoding": "gzip, br"})

    assert plain.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "Content-Encoding" not in plain.headers
    assert plain.text == compressed.text == STYLE
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert int(compressed.headers["Content-Length"]) == len(gzip.compress(STYLE.encode()))


async def test_a_file_that_the_browser_has_is_not_sent_again(browser: AsyncClient) -> None:
    etag = (await browser.get("/static/page.css")).headers["ETag"]

    again = await browser.get("/static/page.css", headers={"If-None-Match": etag})
    changed = await browser.get("/static/page.css", headers={"If-None-Match": '"of before"'})

    assert (again.status_code, again.content) == (304, b"")
    assert (changed.status_code, changed.text) == (200, STYLE)


async def test_a_browser_keeps_a_file_that_is_named_with_its_version(
    browser: AsyncClient, tmp_path: Path
) -> None:
    version = static_files(tmp_path)["page.css"].version

    named = await browser.get(f"/static/page.css?v={version}")
    older = await browser.get("/static/page.css?v=of-before")

    assert "immutable" in named.headers["Cache-Control"]
    assert "Cache-Control" not in older.headers, "the middleware asks for revalidation"
    assert named.text == older.text == STYLE


@pytest.mark.parametrize("name", ["other.css", "..%2Fpyproject.toml", "%2e%2e/pyproject.toml"])
async def test_nothing_else_is_served(browser: AsyncClient, name: str) -> None:
    assert (await browser.get(f"/static/{name}")).status_code == 404
