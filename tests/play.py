"""The interactive pages, for test_walk.py and test_play.py: a new page joins by a line in PLAY.

What the reader can use is found by role; tests/play.js holds what is asked of a page from inside.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import HTML, WIDE, watch

ASKS = Path(__file__).with_suffix(".js").read_text(encoding="utf8")
WIDTHS = (320, 390, 768, 1280, 1920)


@dataclass(frozen=True)
class Play:
    """An interactive page: its address, its parts that a reader uses, and what must always hold (in play.js)."""

    path: str
    widget: str
    holds: tuple
    owns: bool = True  # the page's address is a state
    passing: str = ".unset"  # what is shown of the last moments only, and no address holds
    addresses: tuple = ()  # states to begin with, beside those that the page links to
    resumes: str = "true"  # whether a fresh page shows the state of an address; else a link means something else

    def __str__(self):
        return Path(self.path).stem


CHAPTER = "book/03_the_autoregressive_property.html"
PLAY = [
    Play("book/mask_explorer.html", ".mx", ("explorer",), passing=".guide, .mx-back"),
    Play(
        "book/live_made.html",
        ".live-made",
        ("live",),
        passing=".guide, .status, .unseen, [aria-label='Back and forth'], strong + span",
    ),
    Play(
        "book/guess_the_pixels.html",
        ".guess",
        ("game",),
        passing="[title*='game before']",
        addresses=tuple(f"image={k}&bets={bets}" for k, bets in enumerate(["0123401234" * 2, "2" * 23, "3" * 24], 1)),
        resumes="walk.views[0].state.bets.length < 24",  # a finished game is to be beaten
    ),
    Play(CHAPTER, ".answers", ("answers",), owns=False),
    Play("book/04_made.html", ".mx", ("explorer",), owns=False),
    Play("book/05_generating_samples.html", ".live-made", ("live",), owns=False),
    Play("book/index.html", ".small-drawing", (), owns=False),
]


def links(play):
    """The states that a page itself links to."""
    found = re.findall(r'href="[^"#]*#([^"]*=[^"]*)"', (HTML / play.path).read_text(encoding="utf8"))
    return [*play.addresses, *map(html.unescape, found)]


def states(play):
    """The state at the beginning, and those that the page links to."""
    return ["", *(links(play) if play.owns else [])]


def open_pages(browser, base):
    """Open an interactive page in a context of its own: the page, and what it complains about."""
    contexts = []

    def open_page(play, address="", **options):
        context = browser.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        context.add_init_script(ASKS + f"\nwalk.widget = {play.widget!r};")
        page = context.new_page()
        complaints = watch(page, *base.values())
        page.goto(f"{base['file']}/{play.path}#{address}")
        page.wait_for_selector(play.widget)
        return page, complaints

    yield open_page
    for context in contexts:
        context.close()


each_page = pytest.mark.parametrize("play", PLAY, ids=str)
