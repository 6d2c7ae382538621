"""Live MADE: the networks inside the page compute what `made` computes, and a reader can play with them by keys alone.

Needs `make book` first, like test_browser.py.
"""

import base64
import itertools
import json
import re
from unittest.mock import ANY

import chapters
import live_weights
import pixelcnn
import pytest
import torch
from conftest import HTML, LOOK, NARROW, OVERFLOW, WIDE, watch

import made

PAGE, CHAPTER = "book/live_made.html", "book/05_generating_samples.html"
RESULTS = chapters.BOOK / "results"
LIVE = ".live-made"
ORDERS = [
    ("pixelcnn", "natural"),
    ("natural", "natural"),
    ("any_order", "natural"),
    ("any_order", "random"),
    ("any_order", "known first"),
]
in_browser = pytest.mark.browser


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# ---- the weights files ---------------------------------------------------------------------------------------------


def received(texts):
    """What the scripts of a network hand to the page: the first piece, and all numbers."""
    pieces = [re.fullmatch(r'made\.networks\.receive\("small", (\d+), (.*)\);\n', text).groups() for text in texts]
    assert [int(k) for k, _ in pieces] == list(range(len(texts)))
    files = [json.loads(words) for _, words in pieces]
    codes = [ord(character) - ord("#") for file in files for character in file["weights"]]
    numbers = [code // 2 if code % 2 == 0 else -(code + 1) // 2 for code in codes]
    assert (files[0]["pieces"], files[0]["count"]) == (len(texts), len(numbers))
    assert [file["at"] for file in files] == [sum(len(f["weights"]) for f in files[:k]) for k in range(len(files))]
    assert {file["step"] for file in files} == {2**-12}
    return files[0], torch.tensor(numbers) * 2**-12


@pytest.fixture(params=["natural", "any order"])
def small(request):
    any_order = {"order": "random", "n_masks": None, "residual": True}
    return made.MADE(9, (7, 7), seed=3, **(any_order if request.param == "any order" else {}))


@pytest.mark.parametrize("piece", [50, 100_000])
def test_weights_come_back_from_the_text(small, piece):
    texts = live_weights.scripts("small", small, [], bits=12, piece=piece)
    _, numbers = received(texts)
    columns = []
    for layer, mask in zip([*small.hidden, small.output, small.direct], live_weights.kept(small), strict=True):
        for j in range(layer.in_features):
            columns += [layer.weight[k, j] for k in range(layer.out_features) if mask[k, j]]
    for layer in (*small.hidden, small.output):
        columns += list(layer.bias)
    assert (numbers - torch.stack(columns)).abs().max() <= 2**-13
    assert len(texts) == -(-len(numbers) // piece)


def test_weights_of_a_pixelcnn_come_back_from_the_text():
    """Of each layer the taps that its mask keeps, in reading order, and the biases; at last those of places."""
    torch.manual_seed(3)
    model = pixelcnn.WidePixelCNN(4, 3, channels=2, dilations=[1, 2], first=5)
    torch.nn.init.normal_(model.first.place)
    stored, numbers = received(live_weights.scripts("small", model, [], bits=12))
    expected = []
    for layer, size in zip([model.first, *model.hidden, model.output], (5, 3, 3, 1), strict=True):
        centre = (size // 2, size // 2)
        taps = [(r, c) for r in range(size) for c in range(size) if (r, c) < centre]
        taps += [] if layer is model.first else [centre]
        outs, ins = layer.weight.shape[:2]
        expected += [layer.weight[k, j, r, c] for r, c in taps for j in range(ins) for k in range(outs)]
        expected += list(layer.bias)
    expected += [model.first.place[0, k, r, c] for r in range(4) for c in range(3) for k in range(2)]
    assert (numbers - torch.stack(expected)).abs().max() <= 2**-13
    assert (stored["features"], stored["width"]) == (12, 3)
    assert [layer["step"] for layer in stored["layers"]] == [1, 1, 2, 1]


def test_a_weight_that_no_character_stands_for_is_refused():
    largest = torch.tensor([(live_weights.LAST - live_weights.FIRST) // 2 / 2**8])
    assert len(live_weights.as_text(largest, 8).encode()) == 3  # no half of a pair, which UTF-8 does not know
    with pytest.raises(ValueError, match="use fewer"):
        live_weights.as_text(largest + 2**-8, 8)


# What live_weights.py states of test digits: root mean square and largest change of log p(x) in nats, and largest
# change of a logit. Other digits may change twice as much.
ROUNDING = {
    ("pixelcnn", "natural"): (0.01, 0.04, 0.05),
    ("natural", "natural"): (0.10, 0.34, 0.42),
    ("any_order", "natural"): (0.36, 1.36, 0.19),
    ("any_order", "random"): (0.09, 0.41, 0.21),
}


@pytest.mark.parametrize("network", ROUNDING)
def test_rounding_changes_as_little_as_is_said(network):
    name, kind = network
    shipped = setting(name, kind)
    original = live_weights.original(name).double()
    if name == "any_order":
        original.use(shipped.connectivity)
    x = live_weights.original("pixelcnn").sample(100, generator=seeded(3)).double()
    with torch.no_grad():
        change = shipped.log_prob(x) - original.log_prob(x)
        logits = (shipped(x) - original(x)).abs().max()
    found = (change.square().mean().sqrt(), change.abs().max(), logits)
    print(network, *(f"{value:.3f}" for value in found))
    for value, most in zip(found, ROUNDING[network], strict=True):
        assert 0 < value < 2 * most


def test_no_weight_that_any_order_could_use_is_left_out(small):
    kept = live_weights.kept(small)
    for k in range(5):
        connectivity = small.draw(k)
        for stored, used in zip(kept, [*connectivity.masks(), connectivity.direct_mask()], strict=True):
            assert not (used & ~stored).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "random", "n_masks": None, "mask_conditioning": True}, "companion weights"),
        ({"order": "random"}, "natural order"),
        ({"direct": False}, "direct"),
        ({"activation": "tanh"}, "ReLU"),
        ({"degrees": "random"}, "even degrees"),
        ({"context_features": 2}, "Bernoulli"),
        ({"likelihood": made.Gaussian()}, "Bernoulli"),
    ],
)
def test_what_the_page_cannot_draw_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        live_weights.scripts("small", made.MADE(9, (7,), **options), [])


# ---- in the browser: the same numbers ------------------------------------------------------------------------------


@pytest.fixture
def page(visit, base):
    page, complaints = visit(f"{base['file']}/{PAGE}#mode=rows")
    yield page
    assert not complaints, "\n" + "\n".join(complaints)


def setting(name, kind, given=None):
    """A network as the pages have it, in double precision, under an order of the given kind."""
    model = live_weights.load(name).double()
    if name == "any_order":
        order = torch.randperm(784, generator=seeded(7)) if kind != "natural" else torch.arange(784)
        if kind == "known first":
            known = ~given[0].isnan()
            order = torch.cat([order[known[order]], order[~known[order]]])
        connectivity = made.Connectivity.create(784, (500, 500), order=order)
        assert torch.equal(connectivity.degrees[1], connectivity.degrees[2])
        model.use(connectivity)
    return model


def partly_given(n, kind):
    """Rows of which the upper half is given, or, where any order will do, a scattered third."""
    rows = setting("natural", "natural").sample(n, generator=seeded(5))
    unknown = torch.arange(784) >= 392 if kind == "natural" else torch.rand(784, generator=seeded(6)) > 1 / 3
    rows[:, unknown] = torch.nan
    return rows


RUN = """async ({ name, order, rows, uniforms, given, temperature }) => {
  const network = await made.networks.load(name)
  return {
    logits: rows.map(x => [...made.networks.logits(network, x, order)]),
    logProb: rows.map(x => made.networks.logProb(network, x, order)),
    samples: uniforms.map((u, k) =>
      [...made.networks.sample(network, { order, uniforms: u, given: given?.[k], temperature })]),
  }
}"""


def drawing(model, u, given, temperature=1.0):
    """The rows in which every value obeys its own conditional, or is the given one: there are no others."""
    if isinstance(model, made.MADE):
        return made.sampling.sample_incremental(model, u, given, temperature)
    x, before = given.nan_to_num(0.0), None
    with torch.no_grad():
        while before is None or not torch.equal(x, before):
            drawn = (u < torch.sigmoid(model(x) / temperature)).double()
            x, before = torch.where(given.isnan(), drawn, given), x
    return x


def run(page, model, name, rows=(), uniforms=(), given=None, temperature=1.0):
    order = model.connectivity.order if isinstance(model, made.MADE) else model.order
    arguments = {"name": name, "order": order.tolist(), "temperature": temperature}
    arguments |= {"rows": [row.long().tolist() for row in rows], "uniforms": [u.tolist() for u in uniforms]}
    arguments["given"] = given if given is None else given.nan_to_num(-1).long().tolist()
    return {key: torch.tensor(value, dtype=torch.float64) for key, value in page.evaluate(RUN, arguments).items()}


LOAD = """async (name) => {
  const shares = []
  const network = await made.networks.load(name, (share) => shares.push(share))
  return { shares, same: network === (await made.networks.load(name)) }
}"""


@in_browser
@pytest.mark.parametrize("scheme", ["file", "http"])
def test_a_network_says_how_much_of_it_has_arrived(scheme, visit, base):
    page, complaints = visit(f"{base[scheme]}/{PAGE}#mode=rows")
    pieces = len(list((HTML / "_static" / "live_weights").glob("natural.*.js")))
    found = page.evaluate(LOAD, "natural")
    assert found["same"]
    assert found["shares"] == [k / pieces for k in range(pieces + 1)]
    assert pieces >= 4
    assert not complaints, complaints


@in_browser
@pytest.mark.parametrize("broken", ["missing", "cut off"])
def test_a_piece_that_fails_is_reported_and_can_be_tried_again(broken, browser, base):
    """What had arrived is kept, and the network is the whole one."""
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/natural." in request.url else None)
    fail = (lambda route: route.abort()) if broken == "missing" else (lambda route: route.fulfill(body="made.net"))
    page.goto(f"{base['http']}/{PAGE}#mode=rows")
    page.route("**/natural.2.js", fail)
    problem = "made.networks.load('natural').then(() => '', (error) => error.message)"
    assert page.evaluate(problem) == "The file natural.2.js could not be loaded."
    assert page.evaluate("'natural' in made.networks.arrived") is False
    page.unroute("**/natural.2.js")
    shares = page.evaluate(LOAD, "natural")["shares"]
    assert shares[0] > 0
    assert shares[-1] == 1
    assert len(asked) == len({*asked}) + 1  # only this piece was asked for twice
    model = setting("natural", "natural")
    x = model.sample(1, generator=seeded(1))
    with torch.no_grad():
        assert (run(page, model, "natural", x)["logProb"] - model.log_prob(x)).abs().max() < 1e-4
    page.close()


@in_browser
@pytest.mark.parametrize(("name", "kind"), ORDERS)
def test_logits_and_log_prob(name, kind, page):
    model = setting(name, kind, partly_given(1, kind))
    noise = torch.randint(2, (3, 784), generator=seeded(2)).double()
    rows = torch.cat([model.sample(3, generator=seeded(1)), noise, torch.ones(1, 784).double()])
    with torch.no_grad():
        expected = model(rows).squeeze(-1)
        log_prob = model.log_prob(rows)
    found = run(page, model, name, rows)
    assert (found["logits"] - expected).abs().max() < 1e-4
    assert (found["logProb"] - log_prob).abs().max() < 1e-3


@in_browser
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(
    ("name", "kind", "part"),
    # a random order cannot take given pixels: they must come first
    [
        (*order, part)
        for order in ORDERS
        for part in ("nothing given", "given")
        if (order[1], part) != ("random", "given")
    ],
)
def test_samples(name, kind, part, temperature, page):
    n = 4
    given = partly_given(n, kind)
    model = setting(name, kind, given)
    if part == "nothing given":
        given = torch.full((n, 784), torch.nan).double()
    elif kind == "natural":
        assert (~given[:, :392].isnan()).all()
    u = made.sampling.uniforms(n, 784, seeded(4))
    expected = drawing(model, u, given, temperature)
    assert 10 < expected.sum(1).mean() < 400
    found = run(page, model, name, uniforms=u, given=given, temperature=temperature)["samples"]
    assert torch.equal(found, expected)


@in_browser
def test_the_pixelcnn_draws_what_its_own_sampler_draws(page):
    model = setting("pixelcnn", "natural")
    u = made.sampling.uniforms(2, 784, seeded(3))
    assert torch.equal(run(page, model, "pixelcnn", uniforms=u)["samples"], model.draw(u))


@in_browser
def test_the_heat_map_of_an_open_pixel_is_its_conditional_if_it_comes_next(page):
    model = setting("any_order", "random")
    order, x, t = model.connectivity.order, model.sample(1, generator=seeded(8)), 300
    partial_sums = """async ([order, x, t]) => {
      const walk = made.networks.begin(await made.networks.load("any_order"), order)
      while (walk.t < t) made.networks.advance(walk, x[order[walk.t]])
      return [...walk.logits]
    }"""
    found = page.evaluate(partial_sums, [order.tolist(), x[0].long().tolist(), t])
    for step in (300, 301, 500, 783):
        j, others = order[step], order[order != order[step]]
        next_is_j = torch.cat([others[:t], j[None], others[t:]])
        model.use(made.Connectivity.create(784, (500, 500), order=next_is_j))
        with torch.no_grad():
            assert abs(model(x)[0, j, 0].item() - found[j]) < 1e-4


@in_browser
def test_what_is_given_comes_first(page):
    order = torch.randperm(784, generator=seeded(9)).tolist()
    given = [-1 if i % 3 else i % 2 for i in range(784)]
    reordered = page.evaluate("([o, g]) => made.networks.knownFirst(o, g)", [order, given])
    assert reordered == [i for i in order if i % 3 == 0] + [i for i in order if i % 3]


# ---- in the browser: a reader ----------------------------------------------------------------------------------------


STICKING_OUT = """e => [...e.querySelectorAll('*')]
  .filter(c => c.getBoundingClientRect().right > e.getBoundingClientRect().right + 1).length"""
SET_THEME = "theme => new Promise(r => { document.documentElement.dataset.theme = theme; setTimeout(r) })"


def fill_speed(page, value):
    page.get_by_label(re.compile("^Speed")).fill(str(value))


def choose(page, tool):
    page.get_by_role("radio", name=tool, exact=True).check(force=True)


def finish(page):
    page.wait_for_function("() => /^Finished/.test(document.querySelector('.live-made .status').textContent)")
    return page.locator(f"{LIVE} .status").inner_text()


@in_browser
@pytest.mark.parametrize("scheme", ["file", "http"])
@pytest.mark.parametrize("name", [PAGE, CHAPTER])
def test_one_click_draws_a_digit(name, scheme, visit, base):
    page, complaints = visit(f"{base[scheme]}/{name}")
    assert page.locator(LIVE).count() == 1
    assert page.locator("img[src*=live_made]").count() == 0
    page.get_by_role("button", name="Draw a digit").click()
    page.wait_for_function("() => /Drawing|Finished/.test(document.querySelector('.live-made .status').textContent)")
    fill_speed(page, 100)
    log_p = re.search(r"log p\(x\) = \u2212(\d+\.\d) nats", finish(page))
    assert 20 < float(log_p[1]) < 150
    assert not complaints, "\n" + "\n".join(complaints)


@in_browser
def test_the_first_digit_at_once_takes_less_than_a_second(page):
    fill_speed(page, 100)
    page.evaluate("made.networks.load('pixelcnn')")
    ms = page.evaluate("""() => {
      const start = performance.now(), status = document.querySelector('.live-made .status')
      return new Promise(done => {
        new MutationObserver(() => {
          if (/^Finished/.test(status.textContent)) done(performance.now() - start)
        }).observe(status, { childList: true })
        document.querySelector('.live-made .bar .primary').click()
      })
    }""")
    print(f"first digit {ms:.0f} ms after the click")
    assert ms < 1000


@in_browser
def test_the_keyboard_suffices(page):
    """Draw, look at single steps, erase the lower part by keys, complete it, and paint a pixel."""
    paper = page.locator("canvas.paper")
    status = page.locator(f"{LIVE} .status")
    pixels = page.get_by_label(re.compile("^Pixel"))
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").focus()
    page.keyboard.press("Enter")
    first = finish(page)
    pixels.focus()
    page.keyboard.press("Home")
    assert pixels.input_value() == "0"
    page.get_by_role("button", name="Step").focus()
    page.keyboard.press("Space")
    assert pixels.input_value() == "1"
    page.get_by_role("button", name="Again").focus()
    page.keyboard.press("Enter")
    assert finish(page) == first
    page.get_by_role("radio", name="ink", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="erase").is_checked()
    paper.focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")  # the cursor starts in row 15
    page.keyboard.press("Space")
    assert "row 17, column 15: unknown" in page.locator(f"{LIVE} .unseen").inner_text()
    assert pixels.input_value() == str(16 * 28)
    page.get_by_role("button", name="Complete").focus()
    page.keyboard.press("Enter")
    assert f"{12 * 28} missing pixels" in finish(page)
    page.get_by_role("radio", name="ink", exact=True).check(force=True)
    paper.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    assert pixels.input_value() == "784"
    page.get_by_role("button", name="Complete").focus()
    page.keyboard.press("Enter")
    assert "Nothing is missing" in status.inner_text()
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    assert pixels.input_value() == "0"


def right_half(page):
    """The colours of the right half of the paper, read in the middle of each pixel."""
    return page.evaluate("""() => {
      const pen = document.querySelector('canvas.paper').getContext('2d'), colours = []
      for (let r = 0; r < 28; r++) for (let c = 14; c < 28; c++)
        colours.push(pen.getImageData(c * 20 + 5, r * 20 + 5, 1, 1).data.join())
      return colours
    }""")


@in_browser
def test_any_part_can_be_erased_and_completed_in_any_order(page):
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    page.locator(f"{LIVE} select").select_option("random")
    page.wait_for_function("() => document.querySelectorAll('.live-made .starters button').length > 3")
    page.locator(".starters button").first.click()
    before = right_half(page)
    page.get_by_role("button", name="left half").click()
    pixels = page.get_by_label(re.compile("^Pixel"))
    assert pixels.input_value() == "392"
    page.get_by_role("button", name="Complete").click()
    assert "392 missing pixels" in finish(page)
    assert right_half(page) == before
    assert len(set(before)) == 2


@in_browser
def test_another_network_gets_the_same_numbers(page):
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    paper = lambda: page.evaluate("document.querySelector('canvas.paper').toDataURL()")
    pictures = [paper()]
    for mode in ("made", "rows"):
        page.locator(f"{LIVE} select").select_option(mode)
        page.wait_for_function("() => document.querySelector('.live-made .field input').value === '784'")
        finish(page)
        pictures.append(paper())
        assert page.get_by_label("Seed").input_value() == "13"
    assert pictures[0] == pictures[2] != pictures[1]


@in_browser
def test_painting_with_the_pointer_gives_rows_to_the_network(page):
    choose(page, "ink")
    paint(page, (5, 10), (11, 16))
    page.wait_for_function("() => /first 364 pixels/.test(document.querySelector('.live-made').textContent)")  # 13 rows
    inked = page.evaluate("""() => {
      const pen = document.querySelector('canvas.paper').getContext('2d')
      const colour = i => pen.getImageData(i % 28 * 20 + 10, Math.floor(i / 28) * 20 + 10, 1, 1).data
      return [...Array(784).keys()].filter(i => colour(i)[0] < 40 && colour(i)[2] > 150).length
    }""")
    assert inked == 4 + 6 * 3  # a stroke two pixels wide


@in_browser
def test_temperature_changes_the_drawing_but_not_the_numbers(page):
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    picture = lambda: page.evaluate("document.querySelector('canvas.paper').toDataURL()")
    warm = page.get_by_label(re.compile("^Temperature"))
    at_one = picture()
    warm.fill("1.5")
    assert picture() != at_one
    assert "at temperature 1" in page.locator(LIVE).inner_text()
    warm.fill("1")
    assert picture() == at_one
    page.get_by_label("Seed").fill("99")
    page.get_by_label("Seed").press("Enter")
    assert picture() != at_one
    page.get_by_label("Seed").fill("13")
    page.get_by_label("Seed").press("Enter")
    assert picture() == at_one


@in_browser
def test_the_drawing_can_be_watched_and_paused(page):
    page.evaluate("made.networks.load('pixelcnn')")
    pixels = page.get_by_label(re.compile("^Pixel"))
    fill_speed(page, 50)
    page.get_by_role("button", name="Draw a digit").click()
    page.wait_for_function("() => +document.querySelector('.live-made .field input').value > 3")
    page.get_by_role("button", name="Pause").click()
    t = int(pixels.input_value())
    assert 3 < t < 784
    page.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert int(pixels.input_value()) == t


# A fresh widget, the state of the first one by way of JSON, and what both look like.
COPY = """() => {
  const look = LOOK
  const mount = () => {
    document.querySelector('.bd-article').append(document.createElement('p'))
    return liveMade.mount(document.querySelector('.bd-article > p:last-child'))
  }
  const first = window.widget ??= mount(), second = mount()
  const focused = document.activeElement
  if (focused.matches('canvas.paper')) focused.blur()
  liveMade.update(second, JSON.parse(JSON.stringify(first.state)))
  const looks = [first, second].map(({ id, widget }) => {
    const pictures = [...widget.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())
    const values = [...widget.querySelectorAll('select, input:not([type=radio])')].map(control => control.value)
    const tool = widget.querySelector('input[type=radio]:checked').value
    return [look(widget).replaceAll(id, ''), tool, ...values, ...pictures].join('\\n')
  })
  second.widget.remove()
  focused.focus()
  return looks
}""".replace("LOOK", LOOK)


@in_browser
def test_the_page_follows_from_the_state(page):
    """Whatever the reader did, a fresh widget with the same state shows the same: there is no hidden state."""
    page.evaluate("Promise.all(['pixelcnn', 'any_order'].map(made.networks.load))")
    seen = {page.evaluate(COPY)[0]}
    first = page.locator(LIVE).nth(1)
    press = lambda name: first.get_by_role("button", name=name).click()
    pixel = first.get_by_label(re.compile("^Pixel"))
    for act in (
        lambda: first.get_by_label(re.compile("^Speed")).fill("100"),
        lambda: press("Draw a digit"),
        lambda: pixel.fill("500"),
        lambda: first.get_by_label(re.compile("^Temperature")).fill("1.4"),
        lambda: press("Step"),
        lambda: first.get_by_label(re.compile("^Rows given")).fill("9"),
        lambda: press("Complete"),
        lambda: first.locator("select").select_option("random"),
        lambda: press("drawing 2"),
        lambda: press("nine in ten"),
        lambda: pixel.fill("300"),
        lambda: first.get_by_role("radio", name="ink", exact=True).check(force=True),
        lambda: first.locator("canvas.paper").click(position={"x": 40, "y": 60}),
        lambda: page.keyboard.press("ArrowDown"),
        lambda: page.keyboard.press("Space"),
        lambda: first.get_by_role("radio", name="erase").check(force=True),
        lambda: first.get_by_label("Seed").press_sequentially("7"),
        lambda: first.get_by_label("Seed").press("Enter"),
    ):
        act()
        one, other = page.evaluate(COPY)
        assert one == other
        seen.add(one)
    assert len(seen) == 19


@in_browser
def test_reduced_motion_is_calm_until_motion_is_asked_for(browser, base):
    page = browser.new_page(reduced_motion="reduce")
    page.goto(f"{base['file']}/{PAGE}")
    page.evaluate("made.networks.load('pixelcnn')")
    assert "Finished" in finish(page)  # nothing moved
    assert page.get_by_label(re.compile("^Speed")).input_value() == "100"
    page.get_by_role("button", name="Draw a digit").click()
    page.wait_for_function("() => document.querySelector('.live-made .field input').value !== '0'")
    assert page.get_by_label(re.compile("^Pixel")).input_value() == "784"
    fill_speed(page, 30)
    page.get_by_role("button", name="Again").click()
    page.wait_for_function("() => document.querySelector('.live-made .field input').value !== '784'")
    assert page.get_by_role("button", name="Pause").is_visible()
    page.close()


# ---- nothing is lost without a way back ----------------------------------------------------------------------------

HASH = "() => new URLSearchParams(location.hash.slice(1)).toString()"


def settle(page, address):
    """Wait until the address says this."""
    page.wait_for_function("wanted => new URLSearchParams(location.hash.slice(1)).toString() === wanted", arg=address)


def slide(page, label, *values):
    """Drag a slider: an input for each value, and one change when it is let go."""
    page.get_by_label(re.compile(f"^{label}")).evaluate(
        """(slider, values) => {
          for (const value of values) {
            slider.value = value
            slider.dispatchEvent(new Event('input', {bubbles: true}))
          }
          slider.dispatchEvent(new Event('change', {bubbles: true}))
        }""",
        list(values),
    )


def paint(page, *cells):
    """A stroke with the chosen tool, from cell to cell: (row, column)."""
    page.locator("canvas.paper").evaluate("paper => paper.scrollIntoView({block: 'center', behavior: 'instant'})")
    box = page.locator("canvas.paper").bounding_box()
    at = lambda row, column: (
        box["x"] + (column + 0.5) * box["width"] / 28,
        box["y"] + (row + 0.5) * box["height"] / 28,
    )
    page.mouse.move(*at(*cells[0]))
    page.mouse.down()
    for cell in cells[1:]:
        page.mouse.move(*at(*cell))
    page.mouse.up()


@in_browser
def test_what_the_reader_does_can_be_undone_and_done_again(page):
    page.evaluate("Promise.all(['pixelcnn', 'natural', 'any_order'].map(made.networks.load))")
    page.locator("canvas.paper").scroll_into_view_if_needed()
    fill_speed(page, 100)
    choose(page, "ink")
    page.wait_for_timeout(400)  # the first entry has followed
    press = lambda name: page.get_by_role("button", name=name).click()
    addresses = [page.evaluate(HASH)]
    for act in (
        lambda: press("Draw a digit"),
        lambda: slide(page, "Rows given", *range(20)),
        lambda: press("Complete"),
        lambda: page.locator(f"{LIVE} select").select_option("random"),
        lambda: press("upper half"),
        lambda: page.locator(f"{LIVE} select").select_option("rows"),
        lambda: paint(page, (3, 3), (8, 8), (8, 20)),
        lambda: press("Draw a digit"),
        lambda: press("drawing 2"),
        lambda: press("Clear"),
        lambda: press("Reset"),
    ):
        act()
        page.wait_for_timeout(400)
        addresses.append(page.evaluate(HASH))
    assert [a for a, b in itertools.pairwise(addresses) if a == b] == []
    for address in reversed(addresses[:-1]):
        assert page.get_by_role("button", name="Undo").is_enabled()
        page.keyboard.press("Control+z") if len(address) % 2 else press("Undo")
        settle(page, address)
    assert page.get_by_role("button", name="Undo").is_disabled()
    for k, address in enumerate(addresses[1:]):
        page.keyboard.press("Control+Shift+Z") if k % 2 else page.go_forward()
        settle(page, address)
    assert page.get_by_role("button", name="Redo").is_disabled()


PICTURES = "() => [...document.querySelectorAll('.live-made canvas')].map(canvas => canvas.toDataURL())"


@in_browser
@pytest.mark.parametrize("mode", ["rows", "made", "random", "anyRows"])
def test_a_link_shows_what_was_shown(mode, page, browser):
    page.locator(f"{LIVE} select").select_option(mode)
    fill_speed(page, 100)
    page.get_by_label(re.compile("^Temperature")).fill("0.9")
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    if mode in ("rows", "made"):
        slide(page, "Rows given", 9)
    else:
        page.get_by_role("button", name="middle").click()
    page.get_by_role("button", name="Complete").click()
    slide(page, "Pixel", 700)
    page.wait_for_timeout(400)
    other = browser.new_page(viewport=page.viewport_size)
    other.goto(page.url)
    other.wait_for_function("() => /^700 of/.test(document.querySelectorAll('.live-made .value')[0].textContent)")
    assert other.evaluate(PICTURES) == page.evaluate(PICTURES)
    assert other.locator("select").first.input_value() == mode
    other.close()


@in_browser
def test_a_link_to_an_empty_paper_shows_what_the_network_expects(visit, base):
    """The network comes by itself: with it the probabilities of all pixels, and the drawings to start from."""
    page, _ = visit(f"{base['file']}/{PAGE}#mode=random&seed=13&t=0")
    page.wait_for_function("() => document.querySelectorAll('.live-made .starters button').length > 3")
    shades = page.evaluate("""() => {
      const pen = document.querySelectorAll('.live-made canvas')[1].getContext('2d')
      const colour = i => pen.getImageData(i % 28 * 20 + 4, Math.floor(i / 28) * 20 + 4, 1, 1).data.join()
      return new Set([...Array(784).keys()].map(colour)).size
    }""")
    assert shades > 30


@in_browser
def test_a_wrong_address_is_the_beginning(page):
    beginning = page.evaluate("() => liveMade.changesOf('')")
    for text in (
        "mode=x&seed=-1&t=1e9&temperature=hot&speed=&tool=fire&given=A",
        "given=" + "A" * 261 + "z",
        "seed=NaN",
    ):
        assert page.evaluate("text => liveMade.changesOf(text)", text) == {**beginning, "nextSeed": ANY}
    gap = "a" + "A" * 100 + "a" * 161  # no order of rows can be given what follows a gap
    given = page.evaluate("text => liveMade.changesOf(text).given", f"mode=made&given={gap}")
    assert given == [1] * 3 + [-1] * 781


@in_browser
def test_an_anchor_of_the_page_is_no_state(page):
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    message = finish(page)
    page.evaluate("location.hash = 'things-to-try'")
    page.wait_for_timeout(300)
    assert page.locator(f"{LIVE} .status").inner_text() == message


@in_browser
def test_clear_stops_the_drawing(page):
    page.evaluate("made.networks.load('pixelcnn')")
    fill_speed(page, 40)
    page.get_by_role("button", name="Draw a digit").click()
    page.wait_for_function("() => +document.querySelector('.live-made .field input').value > 3")
    page.get_by_role("button", name="Clear").click()
    page.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.get_by_label(re.compile("^Pixel")).input_value() == "0"
    assert page.get_by_role("button", name="Play").is_visible()


@in_browser
def test_rows_that_are_given_are_those_that_were_drawn(page):
    """Dragged slowly from 0, the slider cuts the digit anew each time; rows that are not there cannot be given."""
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    digit = page.evaluate(PICTURES)[0]
    slide(page, "Rows given", *range(15))
    slide(page, "Rows given", 16)  # taken up again
    choose(page, "erase")
    slide(page, "Rows given", 28)
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("first => document.querySelector('canvas.paper').toDataURL() === first", arg=digit)
    page.get_by_role("button", name="Clear").click()
    slide(page, "Rows given", 14)
    assert page.locator(f"{LIVE} .status").inner_text().startswith("Whole rows on the paper: 0.")
    assert page.get_by_label(re.compile("^Rows given")).input_value() == "0"


@in_browser
def test_what_one_order_cannot_be_given_comes_back_in_another(page):
    page.evaluate("Promise.all(['pixelcnn', 'any_order'].map(made.networks.load))")
    order = page.locator(f"{LIVE} select")
    order.select_option("random")
    page.get_by_role("button", name="drawing 3").click()
    page.get_by_role("button", name="middle").click()
    given = page.evaluate("() => new URLSearchParams(location.hash.slice(1)).get('given')")
    order.select_option("rows")
    assert page.evaluate("() => new URLSearchParams(location.hash.slice(1)).get('given')") != given
    order.select_option("random")
    assert page.evaluate("() => new URLSearchParams(location.hash.slice(1)).get('given')") == given


@in_browser
def test_beside_the_paper_nothing_is_painted(page):
    page.locator("canvas.paper").scroll_into_view_if_needed()
    choose(page, "ink")
    paint(page, (5, 20), (5, 26), (5, 40), (20, 40))
    page.wait_for_timeout(400)
    known = page.evaluate("() => liveMade.changesOf(location.hash.slice(1)).given.filter(v => v >= 0).length")
    assert known == 7 * 28  # the rows of the stroke, none below


@in_browser
@pytest.mark.parametrize("tool", ["look", "ink"])
def test_a_finger_scrolls_unless_it_is_to_paint(tool, browser, base):
    context = browser.new_context(viewport=NARROW, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{base['file']}/{PAGE}#mode=rows&tool={tool}")
    page.evaluate("made.networks.load('pixelcnn')")
    page.evaluate("document.querySelector('canvas.paper').scrollIntoView({block: 'center', behavior: 'instant'})")
    before, box = page.evaluate("scrollY"), page.locator("canvas.paper").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8
    session = context.new_cdp_session(page)
    touch = lambda kind, *points: session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch("touchStart", {"x": x, "y": y})
    for k in range(1, 16):
        touch("touchMove", {"x": x, "y": y - 12 * k})
    touch("touchEnd")
    page.wait_for_timeout(500)
    moved, painted = page.evaluate("scrollY") - before, "Blue is given" in page.locator(f"{LIVE} .status").inner_text()
    assert (moved > 100, painted) == ((True, False) if tool == "look" else (False, True))
    context.close()


@in_browser
def test_on_a_phone_the_paper_stays_in_view(page):
    page.set_viewport_size(NARROW)
    for control in ("^Pixel", "^Speed", "^Rows given"):
        page.get_by_label(re.compile(control)).scroll_into_view_if_needed()
        box = page.locator("canvas.paper").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= NARROW["height"]


@in_browser
def test_numbers_that_look_equal_get_more_digits(page):
    said = page.evaluate("""async () => {
      await made.networks.load('pixelcnn')
      const [widget] = document.querySelectorAll('.live-made'), texts = []
      const pixel = [...widget.querySelectorAll('input[type=range]')][0]
      for (let t = 1; t <= 784; t++) {
        pixel.value = t
        pixel.dispatchEvent(new Event('input', {bubbles: true}))
        texts.push(widget.querySelector('.coin span').textContent)
      }
      return texts
    }""")
    for text in said:
        p, u = map(float, re.search(r"p = ([\d.]+), random u = ([\d.]+)", text).groups())
        assert p != u, text
        assert (u < p) == (": ink." in text), text


# ---- several at once, and what belongs together ---------------------------------------------------------------------

SMALL = """() => [...document.querySelectorAll('.gallery button')].map(button => {
  const pen = button.querySelector('canvas').getContext('2d')
  const ink = i => pen.getImageData(i % 28 * 3 + 1, Math.floor(i / 28) * 3 + 1, 1, 1).data[0] < 128
  return { text: button.textContent, x: [...Array(784).keys()].map(i => Number(ink(i))) }
})"""


def gallery(page, name, n):
    page.get_by_role("button", name=name).click()
    page.wait_for_function(
        """n => {
          const buttons = [...document.querySelectorAll('.gallery button')]
          return buttons.length === n && buttons.every(button => !button.disabled)
        }""",
        arg=n,
    )
    return page.evaluate(SMALL)


def uniforms(page, seed):
    numbers = "seed => { const r = made.generator(seed); return [...Array(784)].map(r) }"
    return torch.tensor(page.evaluate(numbers, seed), dtype=torch.float64)[None]


@in_browser
def test_six_more_are_completions_with_the_next_six_seeds(page):
    model = setting("pixelcnn", "natural")
    page.evaluate("made.networks.load('pixelcnn')")
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    slide(page, "Rows given", 12)
    shown = gallery(page, "Six more", 6)
    first = drawing(model, uniforms(page, 13), torch.full((1, 784), torch.nan).double())
    given = first.clone()
    given[:, 12 * 28 :] = torch.nan
    for k, one in enumerate(shown):
        expected = drawing(model, uniforms(page, 14 + k), given)
        assert one["x"] == expected[0].long().tolist()
        with torch.no_grad():
            said = f"{model.log_prob(expected).item():.1f}".replace("-", "\u2212")
        assert one["text"] == f"seed {14 + k}: {said} nats"
    page.locator(".gallery button").nth(3).click()
    assert page.get_by_label("Seed").input_value() == "17"
    assert shown[3]["text"].split(": ")[1] in finish(page)
    page.wait_for_timeout(400)
    assert "gallery=more" in page.url
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => document.querySelector('.settings input').value === '13'")
    page.get_by_role("button", name="Six more").click()
    assert page.locator(".gallery button").count() == 0


@in_browser
def test_every_order_draws_with_the_same_numbers(page):
    shown = gallery(page, "Every order", 4)
    u = uniforms(page, 13)
    nothing = torch.full((1, 784), torch.nan).double()
    shuffled = page.evaluate("""() => {
      const random = made.generator(13)
      for (let k = 0; k < 784; k++) random()
      return made.randomOrder(784, random)
    }""")
    any_order = live_weights.load("any_order").double()
    models = [
        setting("pixelcnn", "natural"),
        setting("natural", "natural"),
        any_order.under(made.Connectivity.create(784, any_order.config.hidden, torch.tensor(shuffled))),
        setting("any_order", "natural"),
    ]
    for one, model in zip(shown, models, strict=True):
        assert one["x"] == drawing(model, u, nothing)[0].long().tolist()


@in_browser
def test_a_pixel_and_its_bar_belong_together(page):
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    coin = page.locator(".coin span")
    spot = lambda canvas, x, y: page.locator(canvas).hover(position={"x": x, "y": y})
    box = page.locator("canvas.paper").bounding_box()
    plain = page.evaluate(PICTURES)
    spot("canvas.paper", (20.5) * box["width"] / 28, (9.5) * box["height"] / 28)
    assert coin.inner_text().startswith("row 10, column 21:")
    pointed = page.evaluate(PICTURES)
    assert [a == b for a, b in zip(plain, pointed, strict=True)][:4] == [False, False, False, True]
    strip = page.locator(".live-made > canvas").bounding_box()
    spot(".live-made > canvas", (9 * 28 + 20.5) * strip["width"] / 784, 20)
    assert coin.inner_text().startswith("row 10, column 21:")
    assert page.evaluate(PICTURES)[:4] == pointed[:4]
    page.mouse.move(2, 2)
    assert page.evaluate(PICTURES) == plain


@in_browser
def test_a_spoiled_pixel_shows_what_it_costs(page):
    model = setting("natural", "natural")
    page.locator(f"{LIVE} select").select_option("made")
    fill_speed(page, 100)
    page.get_by_role("button", name="Draw a digit").click()
    finish(page)
    x = drawing(model, uniforms(page, 13), torch.full((1, 784), torch.nan).double())
    spoiled = x.clone()
    spoiled[0, 2 * 28 + 3] = 1
    with torch.no_grad():
        before, after = model.log_prob(torch.cat([x, spoiled])).tolist()
    choose(page, "ink")
    paint(page, (2, 3))
    text = page.locator(LIVE).inner_text()
    said = re.search(r"log p\(x\) = (.\S+) nats .*; before your change (.\S+): it costs (\S+) nats", text)
    number = lambda part: float(part.replace("\u2212", "-"))
    for part, expected in zip(said.groups(), (after, before, before - after), strict=True):
        assert number(part) == pytest.approx(expected, abs=0.051)
    paint(page, (4, 3), (6, 3))
    assert "before your change" in page.locator(LIVE).inner_text()
    page.get_by_label("Seed").fill("15")
    page.get_by_label("Seed").press("Enter")
    assert "before your change" not in page.locator(LIVE).inner_text()


@in_browser
def test_the_picture_can_be_kept(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    content = download.value.path().read_bytes()
    assert download.value.suggested_filename == "made-seed-13.png"
    stored = page.evaluate("document.querySelector('canvas.paper').toDataURL()").split(",")[1]
    assert content == base64.b64decode(stored)


@in_browser
def test_half_of_the_digit_is_hidden_in_one_step(page):
    fill_speed(page, 100)
    page.get_by_role("button", name="Hide a half").click()  # of nothing: of a drawing to start from
    page.wait_for_function("() => /expects/.test(document.querySelector('.live-made .status').textContent)")
    assert page.get_by_label(re.compile("^Pixel")).input_value() == "392"
    page.get_by_role("button", name="Complete").click()
    assert "392 missing pixels" in finish(page)
    lower = right_half(page)[14 * 14 :]
    page.get_by_role("button", name="Hide a half").click()
    page.wait_for_function("() => /expects/.test(document.querySelector('.live-made .status').textContent)")
    assert len(set(right_half(page)[: 14 * 14])) == 1
    assert len(set(lower)) == 2


@in_browser
def test_only_what_has_changed_is_painted_again(page):
    page.evaluate("made.networks.load('pixelcnn')")
    counts = page.evaluate("""() => {
      let count = 0
      const fill = CanvasRenderingContext2D.prototype.fillRect
      CanvasRenderingContext2D.prototype.fillRect = function (...box) { count += 1; fill.apply(this, box) }
      const slider = document.querySelector('.live-made .field input')
      const counted = t => {
        count = 0
        slider.value = t
        slider.dispatchEvent(new Event('input', { bubbles: true }))
        return count
      }
      const counts = [300, 301, 302].map(counted)
      CanvasRenderingContext2D.prototype.fillRect = fill
      return counts
    }""")
    assert counts[0] > 600
    assert max(counts[1:]) < 20


# ---- alive at once: the recorded drawing -----------------------------------------------------------------------------


@in_browser
def test_the_random_numbers_of_a_page_in_python(page):
    for seed in (0, 13, 999999):
        assert torch.equal(live_weights.page_uniforms(seed, 784)[None], uniforms(page, seed))


@in_browser
def test_the_recording_is_what_the_network_draws(page):
    model = setting("pixelcnn", "natural")
    x = drawing(model, uniforms(page, 13), torch.full((1, 784), torch.nan).double())
    with torch.no_grad():
        logits = model(x).flatten()
    assert page.evaluate("made.recording.seed") == 13
    assert (torch.tensor(page.evaluate("[...made.recording.recorded]")) - logits).abs().max() < 1e-5
    played = page.evaluate("""async () => {
      const random = made.generator(13)
      const uniforms = [...Array(784)].map(random)
      return [...made.networks.sample(made.recording, { uniforms })]
    }""")
    assert played == x[0].long().tolist()


@in_browser
def test_a_drawing_plays_at_once_and_needs_no_network(browser, base):
    page = browser.new_page(viewport=WIDE)
    page.route("**/live_weights/pixelcnn*", lambda route: route.abort())
    page.goto(f"{base['http']}/{PAGE}")
    message = finish(page)
    assert page.get_by_label("Seed").input_value() == "13"
    page.close()
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{base['http']}/{PAGE}")
    assert finish(page) == message
    page.wait_for_function("() => document.querySelectorAll('.live-made .starters button').length > 3")
    page.get_by_role("button", name="Draw a digit").click()
    fill_speed(page, 100)
    page.wait_for_function("before => !document.querySelector('.status').textContent.startsWith(before)", arg=message)
    assert finish(page) != message
    assert page.get_by_label("Seed").input_value() == "14"
    page.close()


@in_browser
def test_an_order_says_what_to_expect_of_it(page):
    said = set()
    for mode in ("rows", "made", "random", "anyRows"):
        page.locator(f"{LIVE} select").select_option(mode)
        said.add(page.locator(".settings .note").inner_text())
    assert len(said) == 4
    assert any("few digits that can be read" in text for text in said)


@in_browser
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_first_page_shows_a_small_drawing(motion, browser, base):
    page = browser.new_page(viewport=WIDE, reduced_motion=motion)
    complaints = watch(page, base["file"])
    page.goto(f"{base['file']}/book/index.html")
    page.locator(".small-drawing canvas").first.scroll_into_view_if_needed()
    inked = """() => [...document.querySelectorAll('.small-drawing canvas')].map(canvas => {
      const pen = canvas.getContext('2d')
      return [...Array(784).keys()].map(i => pen.getImageData(i % 28 * 8 + 4, Math.floor(i / 28) * 8 + 4, 1, 1).data[0])
    })"""
    if motion == "reduce":
        page.wait_for_function("() => document.querySelectorAll('.small-drawing canvas').length === 2")
        before = page.evaluate(inked)
        page.wait_for_timeout(300)
        assert page.evaluate(inked) == before
        page.get_by_role("button", name="Replay").click()
        page.wait_for_function(f"before => JSON.stringify(({inked})()[0]) !== before", arg=json.dumps(before[0]))
    last = "() => document.querySelector('.small-drawing canvas').getContext('2d').getImageData(220, 220, 1, 1).data[0]"
    page.wait_for_function(f"() => ({last})() === 255")  # the last pixel is on white paper
    paper, heat = page.evaluate(inked)
    model = setting("pixelcnn", "natural")
    x = drawing(model, live_weights.page_uniforms(13, 784)[None], torch.full((1, 784), torch.nan).double())
    assert [int(red < 128) for red in paper] == x[0].long().tolist()
    assert len(set(heat)) > 20
    assert page.locator(".small-drawing a").get_attribute("aria-label").startswith("A handwritten 7")
    assert not complaints
    page.close()


# ---- things to try -------------------------------------------------------------------------------------------------

STEPS = range(8)


def steps(page):
    return page.locator(".guide > .group button:not(.primary)")


@in_browser
def test_the_list_becomes_a_guide(page):
    assert steps(page).count() == len(STEPS)
    assert page.get_by_role("heading", name="Things to try").count() == 0
    for n in STEPS:
        page.locator(".guide .primary").click()
        assert steps(page).nth(n).get_attribute("aria-current") == "step"


@in_browser
@pytest.mark.parametrize("n", STEPS)
def test_a_step_sets_its_state_and_a_bet_is_answered(n, visit, base):
    page, complaints = visit(f"{base['file']}/{PAGE}#mode=rows")
    page.evaluate("Promise.all(['pixelcnn', 'natural', 'any_order'].map(name => made.networks.load(name)))")
    start = page.evaluate(HASH)
    steps(page).nth(n).click()
    assert page.locator(".guide-lit").count() == 1
    page.wait_for_function("start => new URLSearchParams(location.hash.slice(1)).toString() !== start", arg=start)
    bet, number = page.locator(".guide-bet button").first, page.locator(".guide-bet input")
    if bet.count():
        if number.count():
            number.fill("30")
        bet.click()
        page.wait_for_function("() => /nats/.test(document.querySelector('.guide-bet [role=status]').textContent)")
        assert page.locator(".guide-covered").count() == 0
    page.get_by_role("button", name="Undo").click()
    assert not complaints


@in_browser
def test_a_bet_that_is_left_alone_hides_nothing(page):
    steps(page).nth(1).click()
    page.wait_for_function("() => document.querySelector('.live-made .field input').value === '784'")
    assert page.locator(".guide-covered").count() == 3
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".guide-covered").count() == 0
    assert page.locator(".guide-bet").inner_text() == ""
    choose(page, "ink")
    paint(page, (5, 5))
    assert "Blue is given" in page.locator(f"{LIVE} .status").inner_text()  # the touch was no pick
    steps(page).nth(1).click()
    page.go_back()
    page.wait_for_function("() => !document.querySelector('.guide-covered')")


@in_browser
def test_bets_are_settled_by_the_network(page):
    model = setting("pixelcnn", "natural")
    nothing = torch.full((1, 784), torch.nan).double()
    drawn = [drawing(model, uniforms(page, 13), nothing, temperature) for temperature in (1.0, 0.5)]
    spoiled = drawn[0].clone()
    spoiled[0, 2 * 28 + 2] = 1
    with torch.no_grad():
        at_1, at_05, after = model.log_prob(torch.cat([*drawn, spoiled])).tolist()
        logits = model(drawn[0]).reshape(1, 784)
        surprise = torch.nn.functional.binary_cross_entropy_with_logits(logits, drawn[0], reduction="none")[0]
    top = surprise.argmax().item()

    def settled(n, answer):
        steps(page).nth(n).click()
        answer()
        page.wait_for_function("() => /nats/.test(document.querySelector('.guide-bet [role=status]').textContent)")
        return page.locator(".guide-bet [role=status]").inner_text().replace("\u2212", "-")

    def bet(value):
        page.locator(".guide-bet input").fill(str(value))
        page.locator(".guide-bet button").click()

    with torch.no_grad():
        first = model.log_prob(drawing(model, uniforms(page, 21), nothing, 1.0)).item()
    said = settled(0, lambda: bet(100))
    assert said.startswith(f"{-first:.1f} nats. You bet 100.0: {100 + first:.1f} too much")
    said = settled(0, lambda: bet(round(-first, 1)))
    assert said == f"{-first:.1f} nats. You bet {-first:.1f}: exactly right."
    paper = page.locator("canvas.paper")

    def pick():
        page.wait_for_function("() => document.querySelector('.live-made .field input').value === '784'")
        assert page.locator(".guide-covered").count() == 3
        box = paper.bounding_box()
        paper.click(position={"x": 12.5 * box["width"] / 28, "y": 9.5 * box["height"] / 28})

    said = settled(1, pick)
    assert f"row {top // 28 + 1}, column {top % 28 + 1}: p = " in said
    assert f"{surprise[top]:.2f} nats. Yours, row 10, column 13, cost {surprise[9 * 28 + 12]:.2f}." in said
    said = settled(2, lambda: page.locator(".guide-bet button").nth(1).click())
    right = "more" if at_05 > at_1 else "less"
    assert said.startswith(f"{'No' if right == 'more' else 'Yes'}: {right} probable.")
    assert f"from {at_1:.1f} to {at_05:.1f} nats" in said
    said = settled(7, lambda: bet(3))
    assert said.startswith(f"{at_1 - after:.1f} nats; you bet 3.0.")


@in_browser
@pytest.mark.parametrize("name", [PAGE, CHAPTER])
def test_fits_a_phone_and_follows_the_theme(name, visit, base):
    page, complaints = visit(f"{base['file']}/{name}")
    corner = "[...document.querySelector('canvas.paper').getContext('2d').getImageData(2, 2, 1, 1).data].slice(0, 3)"
    brightness = []
    for theme in ("light", "dark"):
        page.evaluate(SET_THEME, theme)
        brightness.append(sum(page.evaluate(corner)))
        for size in (WIDE, NARROW):
            page.set_viewport_size(size)
            assert page.evaluate(OVERFLOW) is None
            assert page.locator(LIVE).evaluate(STICKING_OUT) == 0
    assert brightness[0] > 700 > 150 > brightness[1]
    assert not complaints


@in_browser
def test_every_control_has_a_name(page):
    unnamed = """() => [...document.querySelectorAll('.live-made :is(button, input, select, canvas)')]
      .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label')?.textContent.trim()))
      .filter(e => !e.closest('button')?.getAttribute('aria-label')).map(e => e.outerHTML)"""
    page.evaluate("made.networks.load('pixelcnn')")
    page.get_by_role("button", name="Draw a digit").click()
    page.wait_for_selector(".starters button")
    assert page.evaluate(unnamed) == []


@in_browser
@pytest.mark.parametrize("name", [PAGE, CHAPTER])
def test_without_scripts_the_picture_stays(name, browser, base):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base['file']}/{name}")
    picture = page.locator("a img[src$='live_made.png']")
    assert picture.count() == 1
    assert picture.is_visible()
    context.close()


@in_browser
def test_the_networks_are_small_and_said_to_be(built):
    folder = HTML / "_static" / "live_weights"
    assert (folder / "recording.js").stat().st_size < 5000
    files = {name: sorted(folder.glob(f"{name}.*.js")) for name in live_weights.BITS}
    assert len(list(folder.iterdir())) == 1 + sum(len(pieces) for pieces in files.values())
    assert max(path.stat().st_size for pieces in files.values() for path in pieces) < 250_000
    megabytes = {name: sum(path.stat().st_size for path in pieces) / 1e6 for name, pieces in files.items()}
    most = {"pixelcnn": 0.15, "natural": 0.9, "any_order": 2.0}  # each is loaded when it is chosen
    assert all(megabytes[name] < most[name] for name in most)
    said = re.search(r"SIZES = \{ (.*?) \}", (HTML / "_static" / "live_made.js").read_text())[1]
    assert said == ", ".join(f'{name}: "{megabytes[name]:.1f} MB"' for name in most)


@in_browser
def test_a_network_that_is_missing_is_reported(browser, base):
    page = browser.new_page()
    page.route("**/live_weights/*", lambda route: route.abort())
    page.goto(f"{base['http']}/{PAGE}")
    page.get_by_role("button", name="Draw a digit").click()
    page.wait_for_function("() => /could not be loaded/.test(document.querySelector('.live-made .status').textContent)")
    page.close()
