"""The mask explorer in Chromium: it shows the masks of `made.masks`, and works by keyboard, without colour, small.

Needs `make book` first; the fixtures come from `conftest.py`. What it computes with is tested in test_made_js.py.
"""

import inspect
import itertools
import re
from itertools import pairwise

import pytest
import torch
from axe_playwright_python.base import AXE_SCRIPT
from conftest import LOOK, NARROW, OVERFLOW

import made

pytestmark = pytest.mark.browser

PAGES = ["book/mask_explorer.html", "book/04_made.html"]
HIDDEN = [(1,), (4,), (12,), (6, 6), (3, 5), (7, 2, 12)]
ORDERS = {
    2: [[0, 1], [1, 0]],
    3: [[2, 0, 1]],
    4: [[0, 1, 2, 3], [2, 0, 3, 1]],
    5: [[3, 0, 4, 1, 2]],
    8: [[7, 6, 5, 4, 3, 2, 1, 0], [5, 2, 7, 0, 3, 6, 1, 4]],
}
GRID = [(order, hidden) for orders in ORDERS.values() for order in orders for hidden in HIDDEN]

# Sums of probabilities for a list of [order, hidden], with even degrees, or with random ones from seeds.
COMPUTE = """([grid, seeds]) => grid.map(([order, hidden], n) => {
  const D = order.length
  const inner = seeds ? made.randomDegrees(D, hidden, made.generator(n)) : made.evenDegrees(D, hidden)
  const degrees = [made.degreesFromOrder(order), ...inner]
  const total = (rule, direct) =>
    maskExplorer.totalProbability(made.buildMasks(degrees, rule), direct ? made.directMask(degrees, rule) : null, n)
  return {
    degrees, wrong: made.reachable(degrees, ">="),
    right: [total(">", false), total(">", true)], off: [total(">=", false), total(">=", true)],
  }
})"""
COLOUR = "() => getComputedStyle(document.querySelector('.mx-sum b')).color"
SET = """(control, value) => {
  if (['radio', 'checkbox'].includes(control.type)) control.checked = value !== false
  else control.value = value
  control.dispatchEvent(new Event('input', {bubbles: true}))
}"""


@pytest.fixture
def page(visit, base):
    """The explorer on its own page; in the end, the browser must have had nothing to complain about."""
    page, complaints = visit(f"{base['file']}/{PAGES[0]}")
    page.wait_for_selector(".mx-unit")
    yield page
    assert not complaints, complaints


def setting(page, name, value):
    control = f"[data-set={name}]"
    if page.eval_on_selector(control, "c => c.type") == "radio":
        control += f"[value='{value}']"
    page.eval_on_selector(control, SET, value)


def says(page):
    return page.inner_text(".mx-says")


@pytest.mark.parametrize("seeds", [False, True], ids=["even", "random"])
def test_total_probability(seeds, page):
    results = page.evaluate(COMPUTE, [GRID, seeds])
    for found in results:
        assert found["right"] == pytest.approx([1, 1], abs=1e-12)
        leaks = any(found["wrong"][i][i] for i in range(len(found["wrong"])))
        assert leaks or seeds, "with even degrees some path always leads back"
        assert leaks == (abs(found["off"][0] - 1) > 1e-3)
        assert abs(found["off"][1] - 1) > 1e-3
    assert {len(found["degrees"][0]) for found in results} == set(ORDERS)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2 0 1", {"order": [2, 0, 1]}),
        ("[2, 0, 1]", {"order": [2, 0, 1]}),
        ("2 0 0", {"error": "0 appears twice. Name each of 0 to 2 once."}),
        ("2 0", {"error": "1 is missing. Name each of 0 to 2 once."}),
        ("", {"error": "0, 1, 2 are missing. Name each of 0 to 2 once."}),
        ("1 2 3", {"error": "“3” is no variable: they are numbered 0 to 2."}),
        ("a b c", {"error": "“a” is no variable: they are numbered 0 to 2."}),
    ],
)
def test_orders_as_typed(text, answer, page):
    assert page.evaluate("text => maskExplorer.parseOrder(text, 3)", text) == answer


def test_a_bad_order_is_explained_and_the_last_good_one_stays(page):
    before = page.inner_html(".mx-matrices")
    page.fill(".mx-typed", "3 0 4 1 1")
    assert page.inner_text(".mx-error") == "1 appears twice. Name each of 0 to 4 once."
    assert page.get_attribute(".mx-typed", "aria-invalid") == "true"
    assert page.inner_html(".mx-matrices") == before
    page.fill(".mx-typed", "4 3 0 1 2")
    assert page.inner_text(".mx-error") == ""
    assert page.inner_html(".mx-matrices") != before
    assert page.eval_on_selector("[data-set=orderKind]", "c => c.value") == "typed"
    setting(page, "D", 7)
    assert page.input_value(".mx-typed") == "4 3 0 1 2 5 6"
    setting(page, "D", 3)
    assert page.input_value(".mx-typed") == "0 1 2"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["file", "http"])
def test_the_picture_gives_way_to_the_explorer(name, scheme, visit, base):
    page, complaints = visit(f"{base[scheme]}/{name}")
    assert page.locator(".mx").count() == 1
    assert page.locator("img[src*=mask_explorer]").count() == 0
    assert page.locator(".mx-unit").count() == 5 + 6 + 6 + 5
    assert not complaints, complaints


@pytest.mark.parametrize("name", PAGES)
def test_without_javascript_the_picture_stays(name, browser, base):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base['file']}/{name}")
    picture = page.locator("img[src*=mask_explorer]")
    assert picture.is_visible()
    assert picture.bounding_box()["height"] > 200
    assert "outputs" in picture.get_attribute("alt")
    assert page.locator(".mx").count() == 0
    context.close()


def drawn(page, kind):
    """Ends of the edges drawn in a style, as ((level, unit), (level, unit))."""
    script = "edges => edges.map(e => [e.dataset.from, e.dataset.to].map(end => end.split(',').map(Number)))"
    return {(tuple(a), tuple(b)) for a, b in page.eval_on_selector_all(f".mx-edge{kind}", script)}


def edges_of(masks):
    """The same, from masks."""
    return {((level, j), (level + 1, i)) for level, mask in enumerate(masks) for i, j in mask.nonzero().tolist()}


def paths(masks, ends):
    """All edges on some path from input j to output i, for the pairs (i, j) in `ends`, found by walking every path."""
    used = set()
    for path in itertools.product(*(range(mask.shape[1]) for mask in masks), range(len(masks[-1]))):
        if all(mask[b, a] for mask, a, b in zip(masks, path, path[1:], strict=False)) and (path[-1], path[0]) in ends:
            steps = list(enumerate(path))
            used |= set(itertools.pairwise(steps))
    return used


@pytest.mark.parametrize("rule", [">", ">="])
def test_what_lights_up(rule, page):
    for layer in (0, 1):
        setting(page, f"width{layer}", 4)
    setting(page, "rule", rule)
    c = made.Connectivity.create(5, (4, 4), order=torch.tensor([3, 0, 4, 1, 2]))
    masks, d = c.masks(), c.degrees[0].tolist()
    if rule == ">=":
        masks[-1] = c.degrees[0][:, None] >= c.degrees[-1][None, :]
    assert drawn(page, "") == edges_of(masks)
    levels = [*c.degrees, c.degrees[0]]
    for level, degrees in enumerate(levels):
        for unit in range(len(degrees)):
            page.focus(f".mx-unit[data-unit='{level},{unit}']")
            through = [mask.clone() for mask in masks]
            if level:
                through[level - 1][torch.arange(len(degrees)) != unit] = False
            else:
                through[0][:, torch.arange(5) != unit] = False
            leak = paths(through, {(i, j) for i in range(5) for j in range(5) if d[i] <= d[j]})
            assert drawn(page, ".mx-leak") == leak
            # Below the unit: what it sees, even if no output hears it. Above: who hears it, even if it sees nothing.
            fair = paths(through[:level], {(unit, j) for j in range(5)}) if level else set()
            above = paths(through[level:], {(i, unit) for i in range(5)}) if level < 3 else set()
            fair |= {((a + level, j), (b + level, i)) for (a, j), (b, i) in above}
            assert drawn(page, ".mx-lit") == fair - leak


def test_direct_connections(page):
    for layer in (0, 1):
        setting(page, f"width{layer}", 1)
    assert "6 of the 10" in page.inner_text(".mx-coverage")
    assert page.locator(".mx-who .mx-lost").count() == 4
    assert says(page) == "Output x1, degree 4, sees x3, x0. It may see x4 too, but no path leads there."
    setting(page, "direct", True)
    assert page.inner_text(".mx-coverage b") == "100 %"
    assert page.locator(".mx-who .mx-lost").count() == 0
    assert says(page) == "Output x1, degree 4, sees x3, x0, x4."
    assert page.locator(".mx-edge.mx-direct").count() == 10
    assert page.locator(".mx-direct.mx-lit").count() == 3
    setting(page, "rule", ">=")
    assert page.locator(".mx-edge.mx-direct").count() == 15
    assert page.locator(".mx-direct.mx-leak").count() == 1
    assert page.locator(".mx-who rect.mx-leak").count() == page.locator(".mx-who .mx-cross").count() == 5


def test_the_wrong_rule_is_named(page):
    assert page.inner_text(".mx-sum b") == "1.000000"
    assert "for any weights" in page.inner_text(".mx-sum")
    calm = page.evaluate(COLOUR)
    setting(page, "rule", ">=")
    assert abs(float(page.inner_text(".mx-sum b")) - 1) > 0.1
    assert "Outputs x3, x0, x4, x1 see their own variables" in page.inner_text(".mx-sum")
    assert page.evaluate(COLOUR) != calm
    leak = page.locator(".mx-edge.mx-leak").first  # orange, but also dashed and thicker
    assert leak.evaluate("e => getComputedStyle(e).strokeDasharray") == "8px, 4px"
    assert page.locator(".mx-who .mx-cross").count() == 4
    assert page.inner_text(".mx-who small") == "row: output, column: input\ncrossed: forbidden"
    assert says(page) == "Output x1, degree 4, sees x3, x0, x4 and itself. That is a leak."
    page.focus(".mx-unit[data-unit='0,1']")
    assert says(page) == "Input x1, degree 4, is seen by output x2 and its own output. That is a leak."
    page.focus(".mx-unit[data-unit='1,5']")
    assert says(page).endswith("feeds outputs x1, x2. It joins x1 with its own output: a leak.")


def test_by_degree_no_edge_leads_to_a_column_further_left(page):
    page.emulate_media(reduced_motion="reduce")
    setting(page, "degrees", "random")
    setting(page, "arrange", "degree")
    where = page.eval_on_selector_all(
        ".mx-unit",
        "units => Object.fromEntries(units.map(u => [u.dataset.unit, [u.transform.baseVal[0].matrix.e, "
        "Number(u.querySelector('.mx-degree').textContent)]]))",
    )
    page.emulate_media(reduced_motion="no-preference")
    for (_, a), (_, b) in itertools.product(where.items(), repeat=2):
        assert a[1] >= b[1] or a[0] < b[0]
    for (_, j), (level, i) in drawn(page, ""):
        if level == 3:
            assert where[f"{level},{i}"][0] > where[f"2,{j}"][0]


def test_by_keyboard_alone(page):
    page.evaluate("document.querySelector('.mx').tabIndex = -1; document.querySelector('.mx').focus()")

    def focus_is(selector):
        return page.evaluate("s => document.activeElement.matches(s)", selector)

    def tab_to(selector):
        for _ in range(20):
            page.keyboard.press("Tab")
            if focus_is(selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    tab_to(".mx-reset")
    tab_to("[data-set=rule]")
    tab_to("[data-set=direct]")
    tab_to("[data-set=D]")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".mx-unit[data-unit^='0,']").count() == 4
    assert page.input_value(".mx-typed") == "3 0 1 2"
    tab_to(".mx-unit")
    assert focus_is("[aria-label='output x1, degree 3']")
    assert says(page) == "Output x1, degree 3, sees x3, x0."
    ring = "getComputedStyle(document.activeElement.querySelector('.mx-ring')).stroke"
    assert page.evaluate(ring) == "rgb(31, 35, 40)"
    page.keyboard.press("ArrowRight")
    assert says(page) == "Output x2, degree 4, sees x3, x0, x1."
    page.keyboard.press("End")
    assert says(page) == "Output x3, degree 1, sees nothing: it comes first."
    page.keyboard.press("ArrowRight")  # the row ends here
    assert focus_is("[aria-label='output x3, degree 1']")
    page.keyboard.press("ArrowDown")
    assert says(page).startswith("Hidden unit ")
    page.keyboard.press("Home")
    assert says(page) == "Hidden unit 0 of layer 2, degree 1, sees x3 and feeds outputs x0, x1, x2."
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert says(page) == "Input x0, degree 2, is seen by outputs x1, x2."
    assert page.evaluate("document.querySelector('.mx-says').getAttribute('aria-live')") == "polite"
    assert page.locator(".mx-unit[tabindex='0']").count() == 1
    page.keyboard.press("Tab")  # the network is one stop
    assert focus_is("[data-set=layers]")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")  # in this direction, too
    assert focus_is("[data-set=D]")
    tab_to("[data-set=layers]")
    tab_to("[data-set=orderKind]")
    tab_to(".mx-typed")
    tab_to("[data-set=degrees]")
    tab_to("[data-set=seed]")
    tab_to("[data-set=arrange]")
    page.keyboard.press("Tab")
    assert not focus_is(".mx *")


def test_every_control_has_a_name(page):
    for control in page.locator(".mx :is(input, select, button)").all():
        label = control.evaluate("c => c.ariaLabel || c.labels?.[0]?.textContent.trim() || c.textContent.trim()")
        assert label, control.evaluate("c => c.outerHTML")


def test_pointing_is_for_a_moment_and_a_click_stays(page):
    page.hover(".mx-unit[data-unit='0,2'] .mx-disc")
    assert says(page) == "Input x2, degree 5, is seen by no output: it comes last."
    page.mouse.move(1, 1)
    assert says(page).startswith("Output x1")
    page.click(".mx-unit[data-unit='0,3'] .mx-disc")
    page.mouse.move(1, 1)
    assert says(page) == "Input x3, degree 1, is seen by outputs x0, x4, x1, x2."
    page.click(".mx-who .mx-row[data-unit='3,4'] >> nth=0")
    page.mouse.move(1, 1)
    assert says(page) == "Output x4, degree 3, sees x3, x0."


@pytest.mark.parametrize("arrange", ["index", "degree"])
@pytest.mark.parametrize("name", PAGES)
def test_fits_a_phone_at_its_largest(name, arrange, visit, base):
    page, complaints = visit(f"{base['file']}/{name}")
    page.set_viewport_size(NARROW)
    setting(page, "layers", 3)
    setting(page, "D", 8)
    for layer in range(3):
        setting(page, f"width{layer}", 12)
    setting(page, "direct", True)
    setting(page, "arrange", arrange)
    for degrees, rule in itertools.product(["even", "random"], [">", ">="]):
        setting(page, "degrees", degrees)
        setting(page, "rule", rule)
        assert page.locator(".mx-unit").count() == 8 + 3 * 12 + 8
        assert page.evaluate(OVERFLOW) is None
        box = page.locator(".mx").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        sizes = page.eval_on_selector_all(".mx-degree", "all => all.map(t => parseFloat(getComputedStyle(t).fontSize))")
        assert min(sizes) >= 8
    assert not complaints


# A fresh explorer, the state of the first one by way of JSON, and what both look like.
COPY = """() => {
  const look = LOOK
  const mount = () => {
    document.querySelector('.bd-article').append(document.createElement('p'))
    return maskExplorer.mount(document.querySelector('.bd-article > p:last-child'))
  }
  const first = window.explorer ??= mount(), second = mount()
  maskExplorer.show(second, JSON.parse(JSON.stringify(first.state)))
  const looks = [first, second].map(({id, root}) => {
    const values = [...root.querySelectorAll('[data-set]')].map(c => `${c.dataset.set} ${c.value} ${c.checked}`)
    return values.join('; ') + look(root).replaceAll(id, '')
  })
  second.root.remove()
  return looks
}""".replace("LOOK", LOOK)


def test_the_page_follows_from_the_state(page):
    """Whatever the reader did, a fresh explorer with the same state shows the same: there is no hidden state."""
    page.emulate_media(reduced_motion="reduce")
    seen = {page.evaluate(COPY)[0]}
    first = page.locator(".mx").nth(1)
    for act in (
        lambda: first.locator("[data-set=layers][value='3']").check(force=True),
        lambda: first.locator("[data-set=degrees][value=random]").check(force=True),
        lambda: first.locator(".mx-again").click(),
        lambda: first.locator("[data-set=arrange][value=degree]").check(force=True),
        lambda: first.locator("[data-set=rule][value='>=']").check(force=True),
        lambda: first.locator("[data-set=direct]").check(),
        lambda: first.locator("[data-set=D]").fill("7"),
        lambda: first.locator("[data-set=width1]").fill("2"),
        lambda: first.locator("[data-set=orderKind]").select_option("random"),
        lambda: first.locator(".mx-typed").fill("6 5 4 3 2 1 0"),
        lambda: first.locator(".mx-typed").fill("6 6"),
        lambda: first.locator(".mx-seed").fill("12"),
        lambda: first.locator(".mx-unit[data-unit='0,1'] .mx-disc").hover(),
        lambda: first.locator(".mx-unit[data-unit='1,2'] .mx-disc").click(),
        lambda: page.keyboard.press("ArrowUp"),
    ):
        act()
        page.evaluate("new Promise(requestAnimationFrame)")
        one, other = page.evaluate(COPY)
        assert one == other
        seen.add(one)
    assert len(seen) == 16
    page.emulate_media(reduced_motion="no-preference")


# ---- nothing is lost without a way back ----------------------------------------------------------------------------

HASH = "() => location.hash.slice(1)"
LETTING_GO = "c => c.dispatchEvent(new Event('change', {bubbles: true}))"


def test_fewer_variables_and_more_again_leave_the_order(page):
    before = page.inner_html(".mx-matrices")
    setting(page, "D", 2)
    assert page.input_value(".mx-typed") == "0 1"
    setting(page, "D", 5)
    assert page.input_value(".mx-typed") == "3 0 4 1 2"
    assert page.inner_html(".mx-matrices") == before


def test_what_the_reader_does_can_be_undone_and_done_again(page):
    page.wait_for_timeout(400)
    addresses = [page.evaluate(HASH)]
    for act in (
        lambda: setting(page, "D", 7),
        lambda: setting(page, "layers", 3),
        lambda: setting(page, "rule", ">="),
        lambda: setting(page, "degrees", "random"),
        lambda: page.click(".mx-again"),
        lambda: setting(page, "arrange", "degree"),
        lambda: page.fill(".mx-typed", "6 5 4 3 2 1 0"),
        lambda: page.click(".mx-reset"),
    ):
        act()
        page.wait_for_timeout(400)
        addresses.append(page.evaluate(HASH))
    assert all(a != b for a, b in itertools.pairwise(addresses))
    for k, address in enumerate(reversed(addresses[:-1])):
        page.go_back() if k % 2 else page.click(".mx-undo")
        page.wait_for_function("wanted => location.hash.slice(1) === wanted", arg=address)
    assert page.is_disabled(".mx-undo")
    for address in addresses[1:]:
        page.click(".mx-redo")
        page.wait_for_function("wanted => location.hash.slice(1) === wanted", arg=address)
    assert page.is_disabled(".mx-redo")


def test_what_a_slider_does_until_it_is_let_go_is_undone_together(page):
    for D in (6, 7, 8):
        setting(page, "D", D)
    page.eval_on_selector("[data-set=D]", LETTING_GO)
    setting(page, "D", 3)
    for D in (8, 5):
        page.click(".mx-undo")
        page.wait_for_function("wanted => document.querySelector('[data-set=D]').value === wanted", arg=str(D))
    assert page.is_disabled(".mx-undo")


def test_a_link_shows_what_was_shown(page, browser):
    setting(page, "D", 6)
    setting(page, "layers", 3)
    setting(page, "width1", 9)
    setting(page, "rule", ">=")
    setting(page, "degrees", "random")
    page.click(".mx-again")
    page.focus(".mx-unit[data-unit='2,3']")
    page.wait_for_timeout(400)
    other = browser.new_page(viewport=page.viewport_size)
    other.goto(page.url)
    other.wait_for_selector(".mx-unit")
    for part in (".mx-matrices", ".mx-facts", ".mx-says"):
        assert other.inner_html(part) == page.inner_html(part)
    lights = (
        "() => [...document.querySelectorAll('.mx-unit, .mx-edge')].map(e => [...e.classList].sort().join(' ')).sort()"
    )
    assert other.evaluate(lights) == page.evaluate(lights)
    other.close()


def test_a_wrong_address_is_the_beginning(page):
    beginning = page.evaluate("() => maskExplorer.stateOf('')")
    for text in ("D=-1&seed=x&layers=9&rule=<&typed=0.0.1&widths=1.2&chosen=9.9&direct=no", "D=&chosen=&typed=8"):
        assert page.evaluate("text => maskExplorer.stateOf(text)", text) == beginning


def test_every_state_survives_its_address(page):
    kept = page.evaluate("""() => {
      const random = made.generator(5), pick = list => list[Math.floor(random() * list.length)]
      return made.range(300).every(() => {
        const [D, layers] = [2 + Math.floor(random() * 7), 1 + Math.floor(random() * 3)]
        const state = {
          D, layers, widths: made.range(3).map(() => 1 + Math.floor(random() * 12)),
          orderKind: pick(["natural", "reversed", "random", "typed"]), typed: made.randomOrder(8, random),
          degrees: pick(["even", "random"]), seed: Math.floor(random() * 10000), direct: random() < 0.5,
          rule: pick([">", ">="]), arrange: pick(["index", "degree"]),
          chosen: {level: pick([0, layers + 1]), unit: Math.floor(random() * D)}, hovered: null, draft: null,
        }
        const back = maskExplorer.stateOf(maskExplorer.addressOf(state))
        return Object.keys(state).every(name => JSON.stringify(back[name]) === JSON.stringify(state[name]))
      })
    }""")
    assert kept


def test_nothing_to_draw_again_is_said(page):
    assert page.is_disabled(".mx-again")
    assert "Nothing you see is drawn at random" in page.get_attribute(".mx-again", "title")
    for name, value in (
        ("degrees", "random"),
        ("degrees", "even"),
        ("rule", ">="),
        ("rule", ">"),
        ("orderKind", "random"),
    ):
        setting(page, name, value)
        assert page.is_enabled(".mx-again") == (value in ("random", ">="))


def test_in_a_chapter_the_address_is_left_alone(visit, base):
    page, complaints = visit(f"{base['file']}/{PAGES[1]}")
    setting(page, "D", 7)
    page.wait_for_timeout(400)
    assert page.evaluate("() => location.hash") == ""
    assert page.locator(".mx-back >> visible=true").count() == 0
    assert not complaints, complaints


# ---- the erasing ---------------------------------------------------------------------------------------------------

NETWORK = """state => {
  const { masks, direct, sees, built, levels } = maskExplorer.network({ ...maskExplorer.stateOf(''), ...state })
  return { masks, direct, sees, built, levels, total: maskExplorer.totalProbability(masks, direct, 7) }
}"""
ALL = 9


def partly_masked(order, hidden, applied, direct):
    """Masks of made, in place of those not applied yet a full matrix; and who then sees whom."""
    connectivity = made.Connectivity.create(len(order), hidden, torch.tensor(order))
    masks = [*connectivity.masks(), *([connectivity.direct_mask()] if direct else [])]
    masks = [mask if k < applied else torch.ones_like(mask) for k, mask in enumerate(masks)]
    shortcut = masks.pop() if direct else None
    sees = masks[0].double()
    for mask in masks[1:]:
        sees = mask.double() @ sees
    return masks, shortcut, (sees > 0) | (shortcut if direct else False)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(("order", "hidden"), [([3, 0, 4, 1, 2], (6, 4)), ([1, 0], (3,)), ([2, 0, 1, 3], (5, 2, 5))])
def test_masks_erase_one_after_the_other(order, hidden, direct, page):
    """The network is that of made, as far as masks are applied; the sum is 1 exactly where nobody sees too much."""
    typed = [*order, *range(len(order), 8)]
    widths = [*hidden, 6, 6][:3]
    state = {"D": len(order), "layers": len(hidden), "widths": widths, "typed": typed, "direct": direct}
    degrees = made.masks.degrees_from_order(torch.tensor(order))
    allowed = degrees[:, None] > degrees
    sums = []
    for applied in range(len(hidden) + 2 + direct):
        found = page.evaluate(NETWORK, {**state, "applied": applied})
        masks, shortcut, sees = partly_masked(order, hidden, applied, direct)
        assert found["masks"] == [mask.tolist() for mask in masks]
        assert found["direct"] == (shortcut.tolist() if direct else None)
        assert found["sees"] == sees.tolist()
        sums.append(found["total"])
        assert (abs(found["total"] - 1) < 1e-9) == (not (sees & ~allowed).any())
    assert abs(sums[0] - 1) > 0.01
    assert abs(sums[-1] - 1) < 1e-12


GHOSTS = (
    """() => [...document.querySelectorAll('.mx-ghost')].filter(e => getComputedStyle(e).display !== 'none').length"""
)
FALLEN = "() => document.querySelector('.mx-falling') === null"


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_masks_are_applied_before_the_readers_eyes(motion, page):
    page.emulate_media(reduced_motion=motion)
    start = page.evaluate("() => location.hash")
    page.get_by_role("button", name="Fully connected").click()
    assert page.inner_text(".mx-applied") == "0 of 3 masks applied"
    assert page.locator(".mx-edge").count() == 5 * 6 + 6 * 6 + 6 * 5
    assert page.evaluate(GHOSTS) == 0
    assert "see what they must not" in page.inner_text(".mx-sum")
    assert says(page) == "Output x1, degree 4, sees x3, x0, x4 and itself and x2, which comes later. That is a leak."
    page.get_by_role("button", name="Apply one").click()
    assert page.inner_text(".mx-applied") == "1 of 3 masks applied"
    assert page.locator(".mx-falling").count() == page.evaluate(GHOSTS) == 5 * 6 - 14
    name = page.eval_on_selector(".mx-falling", "e => getComputedStyle(e).animationName")
    moves = page.evaluate("""() => document.querySelector('.mx-falling').getAnimations()[0].effect.getKeyframes()
      .some(frame => ![undefined, 'none'].includes(frame.transform))""")
    assert (name, moves) == ("mx-fall", motion != "reduce")
    page.wait_for_function(FALLEN)
    assert page.evaluate(GHOSTS) == 5 * 6 - 14
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => document.querySelector('.mx-applied').textContent.startsWith('0')")
    page.get_by_role("button", name="Apply masks").click()
    page.wait_for_function("() => document.querySelector('.mx-applied').textContent.startsWith('3')")
    assert page.inner_text(".mx-sum b") == "1.000000"
    kept = [14, 23, 16]
    assert page.locator(".mx-edge").count() == sum(kept)
    assert page.evaluate(GHOSTS) == 30 + 36 + 30 - sum(kept)
    page.wait_for_function(FALLEN)
    page.get_by_label("show what is erased").set_checked(False)
    assert page.evaluate(GHOSTS) == 0
    page.locator('.mx-unit[data-unit="1,2"]').press("+")
    assert page.locator(".mx-falling").count() == 0  # what has fallen does not fall again
    page.emulate_media(reduced_motion="no-preference")
    page.get_by_role("button", name="Reset").click()
    assert start == "" or page.evaluate("() => location.hash") != start


def test_undo_stops_the_erasing(page):
    """Masks that are still to come do not erase what the reader has gone back to."""
    page.get_by_role("button", name="Fully connected").click()
    page.get_by_role("button", name="Apply masks").click()
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => document.querySelector('.mx-applied').textContent.startsWith('0')")
    page.wait_for_timeout(2200)  # two masks more would have come
    assert page.inner_text(".mx-applied") == "0 of 3 masks applied"


def test_without_ghosts_what_is_erased_leaves_no_trace(page):
    page.get_by_role("button", name="Fully connected").click()
    page.get_by_label("show what is erased").set_checked(False)
    page.get_by_role("button", name="Apply one").click()
    assert page.evaluate(GHOSTS) == 5 * 6 - 14
    page.wait_for_function(FALLEN)
    assert page.evaluate(GHOSTS) == 0
    page.locator('.mx-unit[data-unit="1,0"]').focus()
    page.keyboard.press("Enter")  # but an edge that is asked about is seen
    assert "erased" in says(page)
    assert page.evaluate(GHOSTS) == page.locator(".mx-ghost.mx-asked").count() == 1


def test_a_direct_connection_that_comes_later_is_masked_too(page):
    setting(page, "direct", True)
    assert page.inner_text(".mx-applied") == "4 of 4 masks applied"
    assert page.inner_text(".mx-sum b") == "1.000000"


@pytest.mark.parametrize("rule", [">", ">="])
def test_an_edge_tells_its_degrees_and_the_line_that_decides(rule, page):
    """Every edge of a small network, by keys, against the masks of made; the line stands in its source."""
    setting(page, "rule", rule)
    setting(page, "direct", True)
    setting(page, "width0", 4)
    setting(page, "width1", 3)
    connectivity = made.Connectivity.create(5, (4, 3), torch.tensor([3, 0, 4, 1, 2]))
    layers = [*connectivity.degrees, connectivity.degrees[0]]
    source = inspect.getsource(made.masks.build_masks)
    assert all(line in source for line in page.evaluate("Object.values(maskExplorer.LINES)"))
    compare = {">=": torch.ge, ">": torch.gt}
    edges = 0
    for level in (1, 2, 3):
        for unit in range(len(layers[level])):
            page.locator(f'.mx-unit[data-unit="{level},{unit}"]').focus()
            below = [(level - 1, k) for k in range(len(layers[level - 1]))]
            below += [(0, j) for j in range(5)] if level == 3 else []
            for start, k in below:
                page.keyboard.press("Enter")
                sign = rule if level == 3 else ">="
                kept = compare[sign](layers[level][unit], layers[start][k]).item()
                told = says(page)
                assert f"{layers[level][unit]} {sign} {layers[start][k]}" in told
                assert ("kept." in told, "erased" in told) == (kept, not kept)
                line = page.inner_text(".mx-code")
                right = line.replace("  # the mistake", "").replace(" >= degrees[-1]", " > degrees[-1]")
                assert right in source
                assert ("# the mistake" in line) == (level == 3 and rule == ">=")
                edges += 1
            page.keyboard.press("Escape")
            assert "degree" in says(page)
    assert edges == 5 * 4 + 4 * 3 + 3 * 5 + 5 * 5


VERDICTS = """([address, own]) => {
  const state = { ...maskExplorer.stateOf(address), own, degrees: "own" }
  const net = maskExplorer.network(state), top = net.levels.length - 1
  const ask = (from, to, isDirect) => {
    const {isKept, comparison} = maskExplorer.verdict(state, net, { from, to, isDirect })
    return [isKept, comparison]
  }
  const layer = (l, m, isDirect) =>
    net.levels[m].map((_, o) => net.levels[l].map((_, k) => ask([l, k], [m, o], isDirect)))
  return [...made.range(top).map(l => layer(l, l + 1, false)), layer(0, top, true)]
}"""


def test_edges_tell_what_made_decides(page):
    """In many random networks with degrees of the reader's own."""
    random = torch.Generator().manual_seed(17)
    draw = lambda low, high, *size: torch.randint(low, high, size, generator=random)
    told = 0
    for _ in range(40):
        D, layers = draw(2, 9, 1).item(), draw(1, 4, 1).item()
        widths = draw(1, 13, 3).tolist()
        order = torch.randperm(D, generator=random)
        own = [draw(1, D, width) for width in widths[:layers]]
        typed = ".".join(map(str, [*order.tolist(), *range(D, 8)]))
        address = f"D={D}&layers={layers}&widths={'.'.join(map(str, widths))}&typed={typed}&direct=true"
        found = page.evaluate(VERDICTS, [address, [layer.tolist() for layer in own]])
        degrees = [made.masks.degrees_from_order(order), *own]
        masks = [*made.masks.build_masks(degrees), *made.masks.build_masks(degrees[:1])]
        ends = [*pairwise([*degrees, degrees[0]]), (degrees[0], degrees[0])]
        for verdicts, mask, (below, above) in zip(found, masks, ends, strict=True):
            sign = ">" if above is degrees[0] else ">="
            for o, k in itertools.product(range(len(above)), range(len(below))):
                assert verdicts[o][k] == [mask[o, k].item(), f"{above[o]} {sign} {below[k]}"]
                told += 1
    assert told > 3000


# a point on an edge that no other crosses at the same place
ON_EDGE = """path => {
  const at = path.getPointAtLength(path.getTotalLength() * 0.3), box = path.ownerSVGElement.getBoundingClientRect()
  return [box.x + at.x, box.y + at.y]
}"""
ASKED = """() => [...document.querySelectorAll('.mx-asked')].map(e => [e.dataset.from, e.dataset.to])"""
AXE = """async () => (await axe.run('.mx', {resultTypes: ['violations'], preload: false})).violations.flatMap(
  v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 150)}: ${n.failureSummary}`))"""
CENTRE = "e => e.scrollIntoView({block: 'center', behavior: 'instant'})"


def test_an_edge_can_be_pointed_at(page):
    """Of all edges that are near, the nearest."""
    page.locator(".mx-network").evaluate(CENTRE)
    edge = '.mx-edge[data-from="0,3"][data-to="1,0"]'
    page.mouse.move(*page.locator(edge).evaluate(ON_EDGE))
    assert says(page) == "Input x3 → hidden unit 0 of layer 1: 1 >= 1, kept."
    assert page.evaluate(ASKED) == [["0,3", "1,0"]]
    page.mouse.move(5, 5)
    assert says(page).startswith("Output x1")
    assert page.evaluate(ASKED) == []
    page.get_by_label("show what is erased").set_checked(True)
    page.locator(".mx-network").evaluate(CENTRE)
    ends = page.eval_on_selector_all(".mx-edges path", "all => all.map(e => [e.dataset.from, e.dataset.to])")
    assert len(ends) == 5 * 6 + 6 * 6 + 6 * 5
    for start, end in ends:
        page.mouse.move(*page.locator(f'.mx-edges path[data-from="{start}"][data-to="{end}"]').evaluate(ON_EDGE))
        assert page.evaluate(ASKED) == [[start, end]]


def test_a_finger_finds_an_edge(browser, base):
    context = browser.new_context(viewport=NARROW, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{base['file']}/{PAGES[0]}")
    page.locator(".mx-network").evaluate(CENTRE)
    x, y = page.locator('.mx-edge[data-from="0,3"][data-to="1,0"]').evaluate(ON_EDGE)
    page.touchscreen.tap(x, y)
    assert page.evaluate(ASKED) == [["0,3", "1,0"]]
    x, y = page.locator('.mx-edge[data-from="1,0"][data-to="2,0"]').evaluate(ON_EDGE)
    page.touchscreen.tap(x - 15, y)  # beside the outermost edge
    assert page.evaluate(ASKED) == [["1,0", "2,0"]]
    assert page.inner_text(".mx-code").startswith("masks = ")
    context.close()


def degrees_shown(page, level):
    units = page.locator(f'.mx-unit[data-unit^="{level},"]')
    found = {unit.get_attribute("data-unit"): int(unit.locator(".mx-degree").text_content()) for unit in units.all()}
    return [found[f"{level},{k}"] for k in range(len(found))]


def test_a_hidden_unit_takes_a_degree_of_its_own(page):
    unit = page.locator('.mx-unit[data-unit="1,2"]')
    even = degrees_shown(page, 1)
    unit.focus()
    page.keyboard.press("+")
    assert degrees_shown(page, 1) == [*even[:2], even[2] + 1, *even[3:]]
    assert page.locator("[data-set=degrees][value=own]").is_checked()
    page.get_by_role("button", name="degree of this unit: one less").click()
    assert degrees_shown(page, 1) == even
    for _ in range(6):
        page.keyboard.press("Home")
        unit.focus()
        page.keyboard.press("-")
    assert degrees_shown(page, 1)[2] == 1
    assert page.get_by_role("button", name="degree of this unit: one less").is_disabled()
    unit.click()  # it is chosen: its degree rises, and after the highest comes the lowest
    seen = [degrees_shown(page, 1)[2]]
    for _ in range(4):
        unit.click()
        seen.append(degrees_shown(page, 1)[2])
    assert seen == [2, 3, 4, 1, 2]
    assert page.inner_text(".mx-sum b") == "1.000000"
    page.wait_for_timeout(400)
    own = page.evaluate("() => new URLSearchParams(location.hash.slice(1)).get('own')")
    assert own.split("-")[0] == ".".join(map(str, degrees_shown(page, 1)))
    setting(page, "degrees", "even")
    assert degrees_shown(page, 1) == even
    for wrong in ("9.9.9.9.9.9", "x", "0.0.0.0.0.0", "-", "1.5.1", "", "1.2.3.4.1.2.3.4-2"):
        levels = page.evaluate(
            "own => maskExplorer.network(maskExplorer.stateOf(`degrees=own&own=${own}`)).levels", wrong
        )
        assert [len(layer) for layer in levels] == [5, 6, 6, 5]
        assert all(degree in (1, 2, 3, 4) for layer in levels[1:3] for degree in layer)


def order_shown(page):
    return page.input_value(".mx-typed")


def inputs_in_view(page):
    """Scroll to the network; the function that says where the middle of an input is."""
    page.locator(".mx-network").evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    centre = "e => { const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] }"
    return lambda k: page.locator(f'.mx-unit[data-unit="0,{k}"] .mx-disc').evaluate(centre)


def test_an_input_moves_in_the_order(page):
    """By keys, by the buttons, and by dragging it onto another one, in both arrangements."""
    page.locator('.mx-unit[data-unit="0,4"]').focus()
    page.keyboard.press("Shift+ArrowLeft")
    assert order_shown(page) == "3 4 0 1 2"
    page.keyboard.press("Shift+ArrowRight")
    assert order_shown(page) == "3 0 4 1 2"
    page.get_by_role("button", name="degree of this unit: one more").click()
    assert order_shown(page) == "3 0 1 4 2"
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => document.querySelector('.mx-typed').value === '3 0 4 1 2'")

    def drag(unit, onto):
        page.wait_for_timeout(600)  # units have glided to their places
        at = inputs_in_view(page)
        (x, y), (to, _) = at(unit), at(onto)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move((x + to) / 2, y, steps=3)
        page.mouse.move(to + 3, y, steps=3)
        page.mouse.up()

    drag(2, 3)  # the last variable takes the first step
    assert order_shown(page) == "2 3 0 4 1"
    setting(page, "arrange", "degree")
    drag(2, 1)
    assert order_shown(page) == "3 0 4 1 2"
    page.locator('.mx-unit[data-unit="0,0"]').click()
    assert order_shown(page) == "3 0 4 1 2"


@pytest.mark.parametrize("end", ["right", "below", "Escape"])
def test_a_drag_that_ends_elsewhere_changes_nothing(page, end):
    at = inputs_in_view(page)
    box = page.locator(".mx-network").bounding_box()
    where = [at(k) for k in range(5)]
    to = {"right": (box["x"] + box["width"] + 200, where[0][1]), "below": (where[3][0], box["y"] + box["height"] + 60)}
    page.mouse.move(*where[0])
    page.mouse.down()
    page.mouse.move(*to.get(end, where[3]), steps=5)
    assert at(0)[0] > where[0][0] + 20  # it is on its way
    if end == "Escape":
        page.keyboard.press("Escape")
    page.mouse.up()
    page.mouse.move(1, 1)
    assert page.input_value(".mx-typed") == "3 0 4 1 2"
    page.wait_for_function("() => document.getAnimations().every(({ playState }) => playState === 'finished')")
    assert [at(k) for k in range(5)] == where


def test_a_finger_drags_an_input_and_scrolls_the_page(browser, base):
    context = browser.new_context(viewport=NARROW, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{base['file']}/{PAGES[0]}")
    at = inputs_in_view(page)
    (x, y), (to, _) = at(2), at(3)
    session = context.new_cdp_session(page)
    touch = lambda kind, *points: session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch("touchStart", {"x": x, "y": y})
    for k in range(1, 11):
        touch("touchMove", {"x": x + (to - x) * k / 10, "y": y})
    touch("touchEnd")
    page.wait_for_function("() => document.querySelector('.mx-typed').value === '2 3 0 4 1'")
    before = page.evaluate("scrollY")
    (x, y) = at(2)
    touch("touchStart", {"x": x, "y": y})
    for k in range(1, 16):
        touch("touchMove", {"x": x, "y": y - 12 * k})
    touch("touchEnd")
    page.wait_for_function("before => scrollY > before + 60", arg=before)
    assert page.input_value(".mx-typed") == "2 3 0 4 1"
    context.close()


STEPS = range(9)


@pytest.mark.parametrize("n", STEPS)
def test_a_step_sets_its_state(n, page):
    steps = page.locator(".guide > .group button:not(.primary)")
    assert steps.count() == len(STEPS)
    before = page.evaluate("() => location.hash")
    steps.nth(n).click()
    assert page.locator(".guide-lit").count() == 1
    assert page.evaluate("() => location.hash") != before
    buttons = page.locator(".guide-bet button")
    if n == 1:
        page.wait_for_function("() => document.querySelector('.mx-sum b').textContent === '1.000000'")
    if n in (0, 4, 5, 6, 8):
        assert page.locator(".guide-covered").count() > 0
        if page.locator(".guide-bet input").count():
            page.locator(".guide-bet input").fill("99")
        buttons.last.click()
        assert page.locator(".guide-covered").count() == 0
        said = page.locator(".guide-bet [role=status]").inner_text()
        order = torch.tensor([3, 0, 4, 1, 2])
        narrow = made.Connectivity.create(5, (2, 2), order)
        degrees = made.Connectivity.create(5, (6, 6), order).degrees
        wrong = [*(b[:, None] >= a for a, b in pairwise(degrees)), degrees[0][:, None] >= degrees[-1]]
        own = (wrong[2].double() @ wrong[1].double() @ wrong[0].double()).diagonal() > 0
        levels = page.evaluate("() => maskExplorer.network(maskExplorer.stateOf(location.hash.slice(1))).levels")
        masks = [mask.double() for mask in made.masks.build_masks([torch.tensor(layer) for layer in levels[:-1]])]
        lost_at_random = 10 - (torch.linalg.multi_dot(masks[::-1]) > 0).sum()
        if n == 6:
            even = made.Connectivity.create(5, (3, 3), order)
            assert 10 - even.reachable().sum() == 1  # as the step says
            assert lost_at_random > 1
        expected = {
            4: f"it is {own.sum()}.",
            5: f"it is {10 - narrow.reachable().sum()}.",
            6: f"it is {lost_at_random}.",
            8: f"it is {made.masks.degrees_from_order(torch.tensor([4, 0, 3, 1, 2]))[1]}.",
        }
        assert said.endswith(expected.get(n, "."))
        assert n or re.match(r"Yes: it is [2-9]\.\d{6}\.$|No: it is 0\.\d{6}\.$", said)


def test_what_is_new_can_be_undone_and_linked(page, browser):
    page.wait_for_timeout(400)
    addresses = [page.evaluate(HASH)]
    for act in (
        lambda: page.get_by_role("button", name="Fully connected").click(),
        lambda: page.get_by_role("button", name="Apply one").click(),
        lambda: page.locator('.mx-unit[data-unit="2,1"]').press("+"),
        lambda: page.locator('.mx-unit[data-unit="0,1"]').press("Shift+ArrowLeft"),
        lambda: page.get_by_label("show what is erased").set_checked(False),
    ):
        act()
        page.wait_for_timeout(400)
        addresses.append(page.evaluate(HASH))
    assert len(set(addresses)) == 6
    other = browser.new_page(viewport=page.viewport_size)
    other.goto(page.url)
    other.wait_for_selector(".mx-unit")
    drawn = """() => [...document.querySelectorAll('.mx-network path, .mx-unit, .mx-sum')]
      .map(e => e.outerHTML).sort()"""
    setting(page, "arrange", "degree")
    setting(page, "arrange", "index")
    page.wait_for_timeout(600)
    page.mouse.move(2, 2)
    page.locator('.mx-unit[data-unit="0,1"]').focus()
    other.locator('.mx-unit[data-unit="0,1"]').focus()
    for one, two in zip(other.evaluate(drawn), page.evaluate(drawn), strict=True):
        assert one == two
    other.close()
    bare = lambda address: address.rpartition("&chosen=")[0]  # to choose a unit changes nothing
    for address in [addresses[-1].replace("arrange=index", "arrange=degree"), *reversed(addresses[1:])]:
        page.get_by_role("button", name="Undo").click()
        page.wait_for_function(
            """wanted => new URLSearchParams(location.hash.slice(1)).toString().startsWith(wanted)""", arg=bare(address)
        )


def test_the_address_follows_back_to_the_beginning(page):
    chosen = "wanted => new URLSearchParams(location.hash.slice(1)).get('chosen') === wanted"
    for unit in ("1,2", "3,1"):  # the second is the one that is chosen in the beginning
        page.locator(f'.mx-unit[data-unit="{unit}"]').focus()
        page.wait_for_function(chosen, arg=unit.replace(",", "."))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_explorer_takes_its_place_without_a_shift(width, browser, base):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script("""window.shift = 0
      new PerformanceObserver(list => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value
      }).observe({ type: 'layout-shift', buffered: true })""")
    page.goto(f"{base['file']}/{PAGES[0]}")
    page.wait_for_selector(".mx-unit")
    page.wait_for_timeout(300)
    assert page.evaluate("shift") < 0.05
    page.close()


def test_the_focus_stays_at_the_unit(page):
    """What is drawn anew has the focus again, after a key and after Undo."""
    page.locator('.mx-unit[data-unit="2,1"]').focus()
    focused = "() => document.activeElement.dataset.unit"
    for keys, level in (("+", "2"), ("Control+z", "2"), ("Control+Shift+Z", "2")):
        before = page.inner_html(".mx-matrices")
        page.keyboard.press(keys)
        page.wait_for_function("before => document.querySelector('.mx-matrices').innerHTML !== before", arg=before)
        assert page.evaluate(focused) == f"{level},1"


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_erasing_fits_and_is_accessible(width, theme, page):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    for n in (0, 4):
        page.locator(".guide > .group button").nth(n).click()
        assert page.evaluate(OVERFLOW) is None
    page.get_by_role("button", name="Fully connected").click()
    page.get_by_role("button", name="Apply one").click()
    page.locator('.mx-unit[data-unit="3,1"]').focus()
    page.keyboard.press("Enter")
    assert page.evaluate(OVERFLOW) is None
    page.wait_for_function(FALLEN)
    if width in (390, 1280):
        page.evaluate(AXE_SCRIPT)
        assert page.evaluate(AXE) == []
