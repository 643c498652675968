"""The page without its script: forms and links do the same, only slower."""

from playwright.sync_api import Browser, expect

from tests.e2e.review.conftest import Site


def test_a_candidate_is_decided_without_any_script(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/needles")
    page.fill("#name", "Ana")
    page.fill("#token", site.token)
    page.get_by_role("button", name="Log in").click()
    page.locator("[data-row] >> nth=0").click()
    page.locator(".card >> nth=1").locator(".pick").click()
    page.get_by_role("button", name="Reject").click()

    expect(page.locator("#candidates-title .muted")).to_contain_text("1 decided")
    context.close()
