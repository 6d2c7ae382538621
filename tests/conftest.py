"""What tests share: settings (one thread, no window), their order, and a browser to visit the built book."""

import functools
import http.server
import multiprocessing.process
import os
import subprocess
import threading
from pathlib import Path

import matplotlib
import pytest
import torch
from hypothesis import settings

matplotlib.use("Agg")
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes that tests and notebooks start share the cores, too
settings.register_profile("made", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("made")

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth, page = document.scrollingElement
  if (page.scrollWidth <= width) return null
  const wide = [...document.body.querySelectorAll('*')].find(e => e.getBoundingClientRect().right > width + 1)
  return `${page.scrollWidth} px, because of ${wide?.outerHTML.slice(0, 120)}`
}"""

# A line for every element inside one, with its attributes and its own words, whatever their order.
LOOK = """root => [...root.querySelectorAll('*')].map(e => {
  const sorted = text => text.split(' ').sort().join(' ')
  const attributes = [...e.attributes].filter(a => a.value).map(a => `${a.name}: ${sorted(a.value)}`)
  const words = [...e.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.textContent)
  return [e.tagName, ...attributes.sort(), ...words].join(', ')
}).sort().join('\\n')"""


def is_slow(item):
    """Takes seconds: a cell of a notebook, a test in a browser, a test that starts processes."""
    return item.path.suffix == ".ipynb" or any(item.get_closest_marker(mark) for mark in ("browser", "processes"))


def pytest_collection_modifyitems(items):
    """Files with slow tests first: a file stays with one worker, and the many quick ones fill what is left."""
    slow = {item.path for item in items if is_slow(item)}
    items.sort(key=lambda item: item.path not in slow)


def starts_none(*_, **__):
    pytest.fail("a test that starts a process is marked with pytest.mark.processes, so that `make check` leaves it out")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Quick tests start no process."""
    with pytest.MonkeyPatch.context() as patch:
        if not is_slow(item):
            patch.setattr(subprocess.Popen, "__init__", starts_none)
            patch.setattr(multiprocessing.process.BaseProcess, "start", starts_none)
        return (yield)


@pytest.fixture
def untouched_rng():
    """The test fails if it moved torch's global random generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before), "the global random generator was moved"


@pytest.fixture
def model_file(tmp_path):
    """A path for a model."""
    return tmp_path / "model.safetensors"


# ---- the built book in a browser -----------------------------------------------------------------------------------


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


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def base(built):
    """The two ways to read the book: address of its folder by scheme."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {"file": HTML.as_uri(), "http": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def firefox(built, tmp_path_factory):
    """A Firefox beside Chromium; skipped where there is none that can be driven."""
    from firefox import MISSING, Firefox, find

    path = find()
    if path is None:
        pytest.skip(MISSING)
    try:
        firefox = Firefox(path, tmp_path_factory.mktemp("firefox"))
    except (OSError, RuntimeError) as error:
        pytest.skip(f"{path} cannot be driven: {error}")
    yield firefox
    firefox.close()


def watch(page, *allowed):
    """The list of complaints that a tab fills; it may ask for addresses that begin as one of these."""
    complaints = []

    def guard(route):
        url = route.request.url
        if url.startswith((*allowed, "data:", "blob:")):
            route.continue_()
        else:
            complaints.append(f"asks for what is elsewhere: {url}")
            route.abort()

    page.route("**/*", guard)
    page.on("console", lambda m: complaints.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda e: complaints.append(f"script error: {e}"))
    return complaints


@pytest.fixture(scope="module")
def watched(browser, base):
    """One browser tab and the list of complaints that it fills."""
    page = browser.new_page()
    complaints = watch(page, *base.values())
    page.on("response", lambda r: complaints.append(f"HTTP {r.status}: {r.url}") if r.status >= 400 else None)
    return page, complaints


@pytest.fixture
def visit(watched):
    """Open an address; returns the page and the complaints so far."""
    from chromium import TYPESET

    page, complaints = watched

    def open_page(address, size=WIDE):
        page.set_viewport_size(size)
        page.goto(address)
        page.evaluate(TYPESET)
        return page, complaints

    page.goto("about:blank")
    complaints.clear()
    return open_page
