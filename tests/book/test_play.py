"""Interactive pages under a reader who does anything: a random walk with a fixed seed.

Needs `make book` first, like test_browser.py. A new page joins by a line in PLAY. What the reader can use is found by
role; tests/play.js holds what is asked of the page from inside. A failure names the seed and the last actions;
MADE_WALK_SEED and MADE_WALK_ACTIONS set another seed and length.

All of it takes longer than everything else together, so it runs where MADE_PLAY is set:
`MADE_PLAY=1 .venv/bin/python -m pytest tests/book/test_play.py`.
"""

import difflib
import html
import os
import random
import re
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import HTML, NARROW, OVERFLOW, WIDE, watch

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif("MADE_PLAY" not in os.environ, reason="slow: set MADE_PLAY to walk through the pages"),
]

ASKS = (Path(__file__).parents[1] / "play.js").read_text(encoding="utf8")
SEED = int(os.environ.get("MADE_WALK_SEED", "17"))
ACTIONS = int(os.environ.get("MADE_WALK_ACTIONS", "500"))
EVERY = 25  # actions from one comparison with a fresh page to the next
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

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
VIOLATIONS = """async ([within, only]) => {
  const found = await axe.run({include: [[within]]}, {runOnly: only, resultTypes: ['violations'], preload: false})
  return found.violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)}: ${n.failureSummary}`))
}"""
KEYS = ["Tab", "Shift+Tab", "Enter", "Space", "Escape", "Home", "End", "PageUp", "PageDown", "+", "-", "a", "5"]
KEYS += [
    "ArrowLeft",
    "ArrowRight",
    "ArrowUp",
    "ArrowDown",
    "Shift+ArrowLeft",
    "Shift+ArrowRight",
    "Control+a",
    "Delete",
]
NONSENSE = [
    "",
    " ",
    "0",
    "1",
    "-1",
    "3 0 4 1 2",
    "0 1 2",
    "0,1;2[3] 4",
    "1e3",
    "9999999999",
    "NaN",
    "½",
    "−3,5 %",
    "🙂",
]
NONSENSE += ["<b>x</b>", "4 4 4 4 4", "' OR 1=1 --", "abc", "0.5", "1,000", "Infinity", "x" * 300]
BROKEN = ["", "=", "a=b", "%", "%E0%A4%A=1", "&&&==&", "__proto__=1&constructor=2&toString=3", "=" * 3000, "\u0000=1"]
BROKEN += [
    "things-to-try",
    "D=1e9&seed=-1&t=NaN&widths=..&typed=0",
    "given=" + "Z" * 262,
    "mode=toString&tool=__proto__",
]


def links(play):
    """The states that a page itself links to."""
    found = re.findall(r'href="[^"#]*#([^"]*=[^"]*)"', (HTML / play.path).read_text(encoding="utf8"))
    return [*play.addresses, *map(html.unescape, found)]


def garbled(address, rng):
    """An address with a part of it wrong."""
    fields = address.split("&")
    at = rng.randrange(len(fields))
    name = fields[at].partition("=")[0]
    what = rng.choice(["drop", "double", "value", "cut", "insert"])
    if what == "drop":
        del fields[at]
    elif what == "double":
        fields.insert(rng.randrange(len(fields)), f"{name}={rng.randrange(-5, 2000)}")
    elif what == "value":
        fields[at] = f"{name}={rng.choice(['', '-1', '1e9', 'NaN', 'x', '0.5', '99999', '1.2.3', 'true', '%'])}"
    whole = "&".join(fields)
    place = rng.randrange(len(whole) + 1)
    if what == "cut":
        return whole[:place]
    return whole[:place] + rng.choice("=&.%-#9Z\u00e9") + whole[place:] if what == "insert" else whole


class Fault(AssertionError):
    pass


@dataclass
class Walk:
    play: Play
    page: object
    complaints: list
    url: str
    seed: int
    done: deque = field(default_factory=lambda: deque(maxlen=20))
    seen: list = field(default_factory=list)
    hash: str = ""  # where the address is not the page's own, what the walk made it
    n: int = 0

    # ---- what the reader does --------------------------------------------------------------------------------------

    def box(self, kinds=None):
        """A control of a random kind, in view: (kind, name, box)."""
        found = self.page.evaluate("walk.controls()")
        at = {}
        for k, (kind, _) in enumerate(found):
            if kinds is None or kind in kinds:
                at.setdefault(kind, []).append(k)
        if not at:
            return None
        kind = self.rng.choice(sorted(at))
        k = self.rng.choice(at[kind])
        box = self.page.evaluate("k => walk.aim(k)", k)
        if box["over"]:
            self.complaints.append(f"{kind} {found[k][1]!r} is covered at {self.page.viewport_size}: {box['over']}")
        return kind, found[k][1], box

    def within(self, box, inside=1.0):
        """A point of a box, in view."""
        size = self.page.viewport_size
        x = box["x"] + box["width"] * (0.5 + inside * (self.rng.random() - 0.5))
        y = box["y"] + box["height"] * (0.5 + inside * (self.rng.random() - 0.5))
        return min(max(x, 1), size["width"] - 2), min(max(y, 1), size["height"] - 2)

    def use(self):
        """Click, set, choose or type, whatever the control is for."""
        kind, name, box = self.box()
        x, y = self.within(box, 0.2)
        if kind in ("surface", "unit"):
            return self.paint(kind, name, box)
        if kind == "range":
            return self.slide(name, box)
        self.page.mouse.click(x, y)
        if kind == "select":
            options = self.page.evaluate("[...document.activeElement.options ?? []].map(o => o.value)")
            value = self.rng.choice(options or [""])
            self.page.keyboard.press("Escape")
            if options:
                self.page.locator("*:focus").select_option(value)
            return f"choose {value} of {name!r}"
        if kind in ("text", "number", "textarea"):
            return self.write(name)
        return f"click {kind} {name!r}"

    def write(self, name):
        text = self.rng.choice(NONSENSE)
        self.page.keyboard.press("Control+a")
        if text:
            self.page.keyboard.insert_text(text) if self.rng.random() < 0.5 else self.page.keyboard.type(text[:20])
        else:
            self.page.keyboard.press("Delete")
        end = self.rng.choice(["Enter", "Tab", None])
        if end:
            self.page.keyboard.press(end)
        return f"type {text[:20]!r}, {end}, into {name!r}"

    def slide(self, name, box):
        how = self.rng.choice(["click", "drag", "keys"])
        self.page.mouse.move(self.within(box)[0], box["y"] + box["height"] / 2)
        self.page.mouse.down()
        if how == "drag":
            for _ in range(5):
                self.page.mouse.move(*self.within(box))
        self.page.mouse.up()
        if how == "keys":
            for _ in range(self.rng.randrange(1, 6)):
                self.page.keyboard.press(self.rng.choice(["ArrowLeft", "ArrowRight", "Home", "End", "PageUp"]))
        return f"slider {name!r}: {how}"

    def paint(self, kind, name, box):
        how = self.rng.choice(["click", "drag", "drag out", "hover", "double"])
        x, y = self.within(box)
        if how == "hover":
            self.page.mouse.move(x, y)
        elif how == "click":
            self.page.mouse.click(x, y)
        elif how == "double":
            self.page.mouse.dblclick(x, y)
        else:
            self.page.mouse.move(x, y)
            self.page.mouse.down()
            for _ in range(4):
                self.page.mouse.move(*self.within(box, 1 if how == "drag" else 2), steps=2)
            self.page.mouse.up()
        return f"{how} on {kind} {name!r}"

    def tap(self):
        kind, name, box = self.box()
        self.page.touchscreen.tap(*self.within(box, 0.3))
        return f"tap {kind} {name!r}"

    def keys(self):
        keys = []
        for _ in range(self.rng.randrange(1, 5)):
            key = self.rng.choice(KEYS)
            inside = self.page.evaluate("Boolean(document.activeElement.closest(walk.widget))")
            key = key if inside else "Tab" if self.rng.random() < 0.5 else "Shift+Tab"
            self.page.keyboard.press(key)
            keys.append(key)
        return f"keys {' '.join(keys)}"

    def undo(self):
        key = self.rng.choice(["Control+z", "Control+Shift+Z", "Control+z"])
        for _ in range(self.rng.randrange(1, 4)):
            self.page.keyboard.press(key)
        return f"keys {key}"

    def history(self):
        """Back or Forward; where that leaves the page, the way back to it."""
        if self.rng.random() < 0.5:
            self.page.go_back(wait_until="commit")
        else:
            self.page.go_forward(wait_until="commit")
        if not self.page.url.startswith(self.url):
            self.page.go_forward(wait_until="commit")
            return "Back to where the reader came from, and Forward"
        return "Back or Forward"

    def reload(self):
        self.page.reload()
        return "reload"

    def resize(self):
        width = self.rng.choice(WIDTHS)
        self.page.set_viewport_size({"width": width, "height": self.rng.choice([600, 844, 1080])})
        return f"width {width}"

    def theme(self):
        self.page.evaluate(
            "d => { d = document.documentElement.dataset; d.theme = d.theme === 'dark' ? 'light' : 'dark' }"
        )
        return "the other theme"

    def scroll(self):
        self.page.mouse.wheel(0, self.rng.choice([-900, -200, 200, 900]))
        return "scroll"

    def jump(self):
        known = self.seen + links(self.play)
        address = self.rng.choice(known or BROKEN)
        if self.rng.random() < 0.5:
            address = garbled(address, self.rng)
        elif self.rng.random() < 0.3:
            address = self.rng.choice(BROKEN)
        self.page.evaluate("text => { location.hash = text }", address)
        self.hash = None  # or as the browser writes it
        return f"jump to #{address[:150]}"

    ACTS: ClassVar = {
        use: 50,
        tap: 10,
        keys: 12,
        undo: 6,
        history: 4,
        reload: 1,
        resize: 3,
        theme: 2,
        scroll: 3,
        jump: 6,
    }

    # ---- what must hold --------------------------------------------------------------------------------------------

    def run(self, actions):
        for self.n in range(actions):
            # each action has random numbers of its own, so that one that goes otherwise does not disturb the next
            self.rng = random.Random(f"{self.seed} {self.n}")
            [act] = self.rng.choices(list(self.ACTS), self.ACTS.values())
            self.done.append(f"{self.n}: {act.__name__} ...")
            self.done[-1] = f"{self.n}: {act(self)}"
            self.check()
            if self.n % EVERY == EVERY - 1:
                self.compare()

    def check(self):
        page = self.page
        if not page.url.startswith(self.url):
            raise Fault(f"the page was left for {page.url}")
        page.evaluate("walk.rest()")
        self.complaints += page.evaluate("names => walk.check(names)", list(self.play.holds))
        if not self.play.owns:
            address = page.evaluate("location.hash")
            if address != self.hash and self.hash is not None and not self.done[-1].endswith("Forward"):
                self.complaints.append(f"the address of a page that is not its own becomes {address}")
            self.hash = address
        if overflow := page.evaluate(OVERFLOW):
            self.complaints.append(f"scrolls sideways at {page.viewport_size}: {overflow}")
        if self.complaints:
            raise Fault("\n".join(self.complaints[:10]))

    def calm(self):
        """Nothing plays or loads, the pointer and the focus are elsewhere, and the address has been written."""
        page = self.page
        for _ in range(2):
            found = page.evaluate("walk.controls()")
            playing = [k for k, (kind, name) in enumerate(found) if (kind, name) == ("button", "Pause")]
            for k in playing:
                page.evaluate("k => walk.found[k].click()", k)
        page.evaluate("document.activeElement.blur()")
        if box := self.box(("surface",)):
            page.mouse.move(*self.within(box[2], 0.1))
        page.mouse.move(1, 1)
        page.evaluate("walk.rest()")
        page.wait_for_function("walk.isCalm()", timeout=60_000)
        page.evaluate("walk.rest()")

    def compare(self):
        """What is shown is what a fresh page shows at the same address; undo and redo lead back to it."""
        self.calm()
        if not self.play.owns:
            return
        page = self.page
        address = page.evaluate("location.hash.slice(1)")
        if "=" not in address or not page.evaluate(self.play.resumes):
            return  # the beginning, or an anchor, which is no state
        self.seen.append(address)
        theme = page.evaluate("document.documentElement.dataset.theme")
        shown = page.evaluate("except => walk.look(except)", self.play.passing)
        other = page.context.new_page()
        other.set_viewport_size(page.viewport_size)
        complaints = watch(other, "file:", "http://127.0.0.1")
        other.goto(page.url)
        other.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        fresh = Walk(self.play, other, complaints, self.url, self.seed)
        fresh.rng = random.Random(0)
        fresh.calm()
        expected = other.evaluate("except => walk.look(except)", self.play.passing)
        self.complaints += complaints
        other.close()
        if shown != expected:
            differ = [line for line in difflib.ndiff(shown, expected) if line[0] in "+-"][:8]
            self.complaints.append(f"at #{address}\n a fresh page (+) shows something else:\n" + "\n".join(differ))
        self.undo_and_redo(address)
        self.check()

    def undo_and_redo(self, address):
        page = self.page
        place = page.evaluate("walk.place()")
        if place == 0:
            return
        page.keyboard.press("Control+z")
        page.wait_for_function("place => walk.place() === place", arg=place - 1)
        self.calm()
        page.keyboard.press("Control+Shift+Z")
        page.wait_for_function("place => walk.place() === place", arg=place)
        self.calm()
        again = page.evaluate("location.hash.slice(1)")
        if again != address:
            self.complaints.append(f"undone and done again, #{address}\nbecomes #{again}")


@pytest.fixture
def opened(browser, base):
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


@each_page
def test_whatever_the_reader_does(play, opened, base):
    page, complaints = opened(play, has_touch=True)
    walk = Walk(play, page, complaints, f"{base['file']}/{play.path}", SEED)
    try:
        walk.run(ACTIONS)
    except Exception as error:
        last = "\n  ".join(walk.done)
        where = page.url[:300]
        pytest.fail(f"{type(error).__name__}: {error}\nat {where}\nseed {SEED}, last actions:\n  {last}", pytrace=False)


def states(play):
    """The state at the beginning, and those that the page links to."""
    return ["", *(links(play) if play.owns else [])]


WRONG = ["", "-1", "1e9", "NaN", "x", "0.5", "99999", "1.2.3", "true", "%", "__proto__", "🙂", "0" * 999]


@each_page
def test_every_address_is_a_state(play, opened):
    """Each field of the page's addresses with each wrong value, or none: no complaint, and everything holds."""
    page, complaints = opened(play)
    page.evaluate("text => { location.hash = text }", states(play)[-1])
    page.evaluate("walk.rest()")
    page.wait_for_function("walk.isCalm()")
    fields = {}
    for address in [*states(play), page.evaluate("location.hash.slice(1)")]:  # and as the page writes it
        fields |= dict(pair.split("=", 1) for pair in address.split("&") if "=" in pair)
    whole = [*BROKEN, "&".join(f"{name}={value}" for name, value in fields.items())]
    for name in fields:
        for wrong in [None, *WRONG]:
            changed = {key: wrong if key == name else value for key, value in fields.items()}
            whole.append("&".join(f"{key}={value}" for key, value in changed.items() if value is not None))
    for address in whole:
        page.evaluate("text => { location.hash = text }", address)
        page.evaluate("walk.rest()")
        complaints += page.evaluate("names => walk.check(names)", list(play.holds))
        if complaints:
            pytest.fail(f"#{address[:300]}\n" + "\n".join(complaints), pytrace=False)


# ---- keys, screen readers, zoom, widths, motion, fingers -----------------------------------------------------------


@each_page
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_control_is_reached_by_tab(play, size, opened):
    """Once around: each has the focus at some time, shows it, is not covered, and lets it go again."""
    page, complaints = opened(play, viewport=size)
    page.evaluate("walk.rest()")
    for root in range(page.locator(play.widget).count()):
        controls = page.evaluate("root => walk.tabbable(root)", root)
        page.evaluate("walk.found[0].focus()")
        reached, steps = set(), 0
        while (at := page.evaluate("walk.at()")) is not None:
            reached.add(at)
            name = controls[at] if at >= 0 else page.evaluate("document.activeElement.outerHTML.slice(0, 100)")
            if not page.evaluate("walk.isFocusSeen()"):
                complaints.append(f"{name} has the focus, and one does not see it")
            if over := page.evaluate("walk.overFocus()"):
                complaints.append(f"{name} has the focus, and is covered: {over}")
            page.keyboard.press("Tab")
            steps += 1
            if steps > 2 * len(controls) + 5:
                complaints.append(f"Tab does not leave {name}")
                break
        complaints += [f"Tab passes by {controls[k]}" for k in range(len(controls)) if k not in reached]
    assert not complaints, "\n" + "\n".join(complaints)


@each_page
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_of_the_guide_is_accessible(play, theme, opened):
    page, complaints = opened(play, viewport=NARROW if theme == "dark" else WIDE, color_scheme=theme)
    page.evaluate(AXE_SCRIPT)
    for address in states(play):
        if address:
            page.evaluate("text => { location.hash = text }", address)
        page.evaluate("walk.rest()")
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        complaints += [f"#{address[:80]}: {text}" for text in page.evaluate(VIOLATIONS, [play.widget, WCAG])]
    assert not complaints, "\n" + "\n".join(sorted(set(complaints)))


ZOOMS = {
    "widths": ({"viewport": WIDE}, "", [*WIDTHS, 1024]),
    "zoomed to 200 %": ({"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2}, "", [640]),
    "text of 200 %": ({"viewport": WIDE}, "200%", [1280]),
}


@each_page
@pytest.mark.parametrize("how", ZOOMS)
def test_nothing_is_cut(play, how, opened):
    options, font, widths = ZOOMS[how]
    page, complaints = opened(play, **options)
    page.evaluate("font => { document.documentElement.style.fontSize = font }", font)
    for address in states(play):
        if address:
            page.evaluate("text => { location.hash = text }", address)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("walk.rest()")
            if overflow := page.evaluate(OVERFLOW):
                complaints.append(f"#{address[:80]} scrolls sideways at {width} px: {overflow}")
            complaints += [f"#{address[:80]}, {width} px: {text}" for text in page.evaluate("walk.cut()")]
    assert not complaints, "\n" + "\n".join(complaints[:20])


@each_page
def test_who_wants_calm_has_calm(play, opened):
    """With reduced motion, and colours forced by the system, nothing moves by itself."""
    page, complaints = opened(play, reduced_motion="reduce", forced_colors="active")
    for address in states(play):
        if address:
            page.evaluate("text => { location.hash = text }", address)
        page.evaluate("document.querySelector(walk.widget).scrollIntoView()")
        page.wait_for_function("walk.isCalm()", timeout=60_000)
        page.evaluate("walk.rest()")
        complaints += [f"#{address[:80]}: {line}" for line in page.evaluate("walk.moves()")]
    assert not complaints, "\n" + "\n".join(complaints)


@each_page
def test_a_finger_scrolls_from_wherever_it_begins(play, opened):
    page, complaints = opened(play, viewport=NARROW, has_touch=True, is_mobile=True)
    page.evaluate("walk.rest()")
    session = page.context.new_cdp_session(page)
    touch = lambda kind, *points: session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    middle = NARROW["height"] / 2
    tried = Counter()
    for k, (kind, name) in enumerate(page.evaluate("walk.controls()")):
        tried[kind] += 1
        if tried[kind] > 5:
            continue
        box = page.evaluate("k => walk.aim(k)", k)
        x, y = box["x"] + box["width"] / 2, min(max(middle, box["y"] + 2), box["y"] + box["height"] - 2)
        before, room = page.evaluate("[scrollY, document.scrollingElement.scrollHeight - scrollY - innerHeight]")
        by = 1 if room < 300 else -1
        touch("touchStart", {"x": x, "y": y})
        for n in range(1, 11):
            touch("touchMove", {"x": x, "y": y + 15 * n * by})
        touch("touchEnd")
        page.evaluate("walk.stands()")
        if abs(page.evaluate("scrollY") - before) < 50:
            complaints.append(f"a finger that begins on {kind} {name!r} does not scroll")
    assert not complaints, "\n" + "\n".join(complaints)


# ---- what the walk, and those who watched it, found ------------------------------------------------------------------


@pytest.mark.parametrize("play", PLAY[:2], ids=str)
@pytest.mark.parametrize("leave", ["Control+z", "Reset"])
def test_a_bet_that_is_left_alone_hides_nothing(play, leave, opened):
    page, complaints = opened(play)
    steps = page.locator(".guide > .group button:not(.primary)")
    for k in range(steps.count()):
        steps.nth(k).click()
        covered = page.locator(".guide-covered").count()
        page.keyboard.press(leave) if "+" in leave else page.get_by_role("button", name=leave).click()
        page.evaluate("walk.rest()")
        if left := page.locator(".guide-covered").count():
            complaints.append(f"step {k + 1} covers {covered} parts, and {left} after {leave}")
    assert not complaints, "\n" + "\n".join(complaints)


def test_the_address_follows_back_to_the_beginning(opened):
    page, complaints = opened(PLAY[0])
    chosen = page.evaluate("walk.views[0].state.chosen")
    for unit in ("1,2", f"{chosen['level']},{chosen['unit']}"):
        page.locator(f".mx-unit[data-unit='{unit}']").focus()
        page.evaluate("walk.rest()")
        page.wait_for_function("walk.isCalm()")
        assert page.evaluate("location.hash.slice(-3)") == unit.replace(",", ".")
    assert not complaints


# ---- in Firefox ----------------------------------------------------------------------------------------------------


# What a reader does first: [(an element to click, or keys to press, or None; what is true then)].
FIRST = {
    "mask_explorer": [
        (".mx-full", "document.querySelector('.mx-sum b').textContent > 1"),
        (".mx-apply", "document.querySelector('.mx-sum b').textContent === '1.000000'"),
        (".guide button.primary", "document.querySelector('.guide-words').textContent"),
    ],
    "live_made": [
        (".live-made .bar .primary", "document.querySelector('.status').textContent.startsWith('Finished: 784')"),
        ("[value=ink]", "document.querySelector('canvas.paints')"),
        ("canvas.paper", "document.querySelector('.status').textContent.startsWith('Blue is given')"),
    ],
    "guess_the_pixels": [
        (".guess .keys button", "document.querySelector('.outcome').textContent.startsWith('Pixel 1, row')"),
        (".guess .keys button", "document.querySelector('.outcome').textContent.startsWith('Pixel 2, row')"),
    ],
    Path(CHAPTER).stem: [
        (".answers [type=text]", "document.activeElement.matches('.answers input')"),
        ("right", "document.activeElement.value"),
        (".answers [type=submit]", "document.querySelector('.answers .says').textContent.startsWith('Yes')"),
    ],
}


@each_page
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_in_firefox(play, size, firefox, base):
    from firefox import Tab

    tab = Tab(firefox, ASKS + f"\nwalk.widget = {play.widget!r};")
    address = f"{base['file']}/{play.path}"
    tab.open(address + "#speed=100" * play.owns, **size)
    tab.wait(f"document.querySelector({play.widget!r})")
    for what, then in FIRST.get(str(play), []):
        if what == "right":
            tab.press(*tab.evaluate("String(JSON.parse(document.querySelector('.answers').dataset.answers)[0].right)"))
        else:
            tab.click(f"document.querySelector({what!r})")
        tab.wait(then)
    complaints = []
    for state in states(play):
        if state:
            tab.evaluate(f"location.hash = {state!r}")
        tab.evaluate("walk.rest()")
        complaints += tab.evaluate("walk.cut()") + tab.evaluate(f"walk.check({list(play.holds)})")
        if overflow := tab.evaluate(f"({OVERFLOW})()"):
            complaints.append(f"#{state} scrolls sideways: {overflow}")
    complaints += tab.complaints(*base.values())
    tab.close()
    assert not complaints, "\n" + "\n".join(complaints)
