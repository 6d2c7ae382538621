"""Interactive pages by keys, for screen readers, enlarged, without motion, under a finger, and in Firefox.

Needs `make book` first, like test_browser.py.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import NARROW, OVERFLOW, WIDE
from play import ASKS, CHAPTER, PLAY, WIDTHS, each_page, open_pages, states

pytestmark = pytest.mark.browser

opened = pytest.fixture(open_pages)

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
VIOLATIONS = """async ([within, only]) => {
  const found = await axe.run({include: [[within]]}, {runOnly: only, resultTypes: ['violations'], preload: false})
  return found.violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)}: ${n.failureSummary}`))
}"""

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
    "text of 200 % on a phone": ({"viewport": NARROW}, "200%", [390]),
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


@pytest.mark.parametrize("play", PLAY[:2], ids=str)
def test_the_table_of_contents_leads_to_the_guide_and_changes_nothing(play, opened):
    page, complaints = opened(play)

    def look():
        page.evaluate("walk.rest()")
        page.wait_for_function("walk.isCalm()")
        return page.evaluate("walk.look('.guide, .status, .mx-back, [aria-label=\"Back and forth\"]')")

    beginning = look()
    page.locator(".guide > .group button").nth(3).click()
    step = look()
    assert step != beginning
    page.locator("a[href='#things-to-try'] >> visible=true").first.click()
    page.evaluate("walk.stands()")
    assert -1 <= page.locator(".guide").bounding_box()["y"] <= 150
    assert look() == step
    page.go_back()
    assert look() == step
    page.go_forward()
    assert look() == step
    assert not complaints


def test_undo_and_redo_go_over_links_and_reloads(opened):
    page, complaints = opened(PLAY[2])
    address = lambda: page.evaluate("location.hash")
    path = []
    for link in (None, "#image=9&bets=", None, None, "#image=20&bets=1", None):
        if link:
            page.evaluate("link => { location.hash = link }", link)
        else:
            page.get_by_role("button", name="Next image").click()
        page.wait_for_function("n => walk.place() === n", arg=len(path) + 1)
        path.append(address())
    assert [re.search(r"image=(\d+)", where)[1] for where in path] == ["2", "9", "10", "11", "20", "21"]
    page.wait_for_function("walk.isCalm()")
    page.reload()
    back = []
    for n in range(len(path), 0, -1):
        back.append(address())
        page.get_by_role("button", name="Undo").click()
        page.wait_for_function("n => walk.place() === n", arg=n - 1)
    assert back == path[::-1]
    assert page.get_by_role("button", name="Undo").is_disabled()
    for where in path:
        page.keyboard.press("Control+Shift+z")
        page.wait_for_function("where => location.hash === where", arg=where)
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
            tab.wait(f"document.querySelector({what!r})")
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
