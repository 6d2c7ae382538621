"""One Chromium for all tests that open the built book."""

import os

import checks
import pytest

HTML = checks.ROOT / "_build" / "html"


def unavailable(reason):
    """Skip, and say why; where the tests must run, as in CI, fail instead."""
    if os.environ.get("MADE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def built():
    if not (HTML / "book" / "index.html").is_file():
        unavailable("there is no _build/html: run `make book` first")
    return HTML


@pytest.fixture(scope="module")
def browser(built):
    from chromium import FLAGS, MISSING, find
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = find(playwright)
        if path is None:
            unavailable(MISSING)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
