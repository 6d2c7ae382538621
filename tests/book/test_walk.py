"""Interactive pages under a reader who does anything: a random walk with a fixed seed, and addresses of all kinds.

Needs `make book` first, like test_browser.py. A failure names the seed and the last actions; MADE_WALK_SEED and
MADE_WALK_ACTIONS set another seed and length.
"""

import difflib
import os
import random
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from conftest import OVERFLOW, watch
from play import WIDTHS, Play, each_page, links, open_pages, states
from playwright.sync_api import TimeoutError

pytestmark = pytest.mark.browser

SEED = int(os.environ.get("MADE_WALK_SEED", "17"))
ACTIONS = int(os.environ.get("MADE_WALK_ACTIONS", "500"))
EVERY = 25  # actions from one comparison with a fresh page to the next

opened = pytest.fixture(open_pages)

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
        """A fresh start that keeps the place in the history.

        Not at once: Chromium forgets what is written into an entry within the moment in which a link leads to it. The
        page writes it again with the address, and an anchor has none.
        """
        self.calm()
        before = self.page.evaluate("walk.place()")
        self.page.reload()
        place = self.page.evaluate("walk.place()")
        if self.play.owns and "=" in self.page.url and place != before:
            self.complaints.append(
                f"step {before} of the history is step {place} after a reload: Undo has lost its way"
            )
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
        for keys, leads_to in (("Control+z", place - 1), ("Control+Shift+Z", place)):
            page.keyboard.press(keys)
            try:
                page.wait_for_function("place => walk.place() === place", arg=leads_to)
            except TimeoutError:
                raise Fault(f"{keys} leads to step {page.evaluate('walk.place()')}, not to {leads_to}") from None
            self.calm()
        again = page.evaluate("location.hash.slice(1)")
        if again != address:
            self.complaints.append(f"undone and done again, #{address}\nbecomes #{again}")


@each_page
def test_whatever_the_reader_does(play, opened, base):
    page, complaints = opened(play, has_touch=True)
    walk = Walk(play, page, complaints, f"{base['file']}/{play.path}", SEED)
    try:
        walk.run(ACTIONS if play.owns else ACTIONS // 5)
    except Exception as error:
        last = "\n  ".join(walk.done)
        where = page.url[:300]
        pytest.fail(f"{type(error).__name__}: {error}\nat {where}\nseed {SEED}, last actions:\n  {last}", pytrace=False)


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
