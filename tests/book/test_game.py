"""Guess the pixels: what bets cost and what is asked, against an independent computation; a game by keys and by touch.

Needs `make book` first, like test_browser.py.
"""

import base64
import math
import re

import chapters
import live_weights
import numpy as np
import pytest
import torch
from axe_playwright_python.base import AXE_SCRIPT
from conftest import HTML, NARROW, OVERFLOW, WIDE, watch
from test_browser import VIOLATIONS, WCAG
from test_results import module

import made

PAGE = "book/guess_the_pixels.html"
SCRIPT = chapters.BOOK / "static" / "guess_digits.js"
KEYS = [0.02, 0.2, 0.5, 0.8, 0.98]
ASKED = 24
SURE = "1" * ASKED  # a game in which the reader says 20 % every time
in_browser = pytest.mark.browser


def images():
    """The images of the game, as its script holds them."""
    texts = re.findall(r'^    "(.*)",$', SCRIPT.read_text(), re.M)
    bits = np.unpackbits([np.frombuffer(base64.b64decode(text), np.uint8) for text in texts], axis=1)
    return torch.from_numpy(bits).double()


def asked(x):
    """The pixels that are asked: 24 of those whose neighbours on the left and above differ, evenly spread."""
    padded = torch.nn.functional.pad(x.reshape(28, 28), (1, 0, 1, 0))
    edges = (padded[1:, :-1] != padded[:-1, 1:]).flatten().nonzero().flatten()
    return edges[((torch.arange(ASKED) + 0.5) * len(edges) / ASKED).floor().long()]


def probabilities(x):
    """Of ink at every pixel, from the network of the package."""
    with torch.no_grad():
        return torch.sigmoid(live_weights.load("pixelcnn").double()(x.reshape(-1, 784)).reshape(-1, 784))


def cost(p, x):
    return -torch.distributions.Bernoulli(torch.as_tensor(p).double()).log_prob(x)


def with_keys(p):
    """The key that costs least on average."""
    keys = torch.tensor(KEYS).double()
    return keys[
        (p[..., None] * cost(keys, torch.ones(())) + (1 - p[..., None]) * cost(keys, torch.zeros(()))).argmin(-1)
    ]


# ---- the images ----------------------------------------------------------------------------------------------------


def test_the_images_are_those_of_the_data():
    folder = made.data.cache_folder()
    if not all((folder / file.name).exists() for file in made.data.DATASETS["mnist"].files):
        pytest.skip(f"MNIST is not in {folder}")
    split = made.data.load("mnist", binarize="threshold", cache_dir=folder)
    assert SCRIPT.read_text() == module("guess_the_pixels").script(split)
    rows = {row.numpy().tobytes(): label.item() for row, label in zip(split.test, split.test_labels, strict=True)}
    labels = [rows[x.float().numpy().tobytes()] for x in images()]
    assert sorted(labels) == sorted([*range(10)] * 3)
    learned = {row.numpy().tobytes() for row in torch.cat([split.train, split.valid])}
    assert not any(x.float().numpy().tobytes() in learned for x in images())


def test_the_text_says_what_the_game_is():
    text = " ".join((chapters.BOOK / "guess_the_pixels.md").read_text().split())
    share = float(re.search(r"share: ([\d.]+)", SCRIPT.read_text())[1])
    x = images()
    assert len(x) == 30
    assert "none of the thirty images" in text
    assert f"{ASKED} are asked" in text
    assert f"*Always {100 * share:.0f} %*" in text
    assert "50,000" in text  # rows of the training part, as made.data cuts it
    p = probabilities(x)
    at = torch.stack([asked(row) for row in x])
    p_at, x_at = p.gather(1, at), x.gather(1, at)
    assert "harder than most" in text
    assert cost(p_at, x_at).mean() > 3 * cost(p, x).mean()
    assert "At an edge it is about half, so over all thirty images this bet costs more than a coin" in text
    assert 0.45 < x_at.mean() < 0.55
    assert cost(share, x_at).mean() > math.log(2)
    assert cost(with_keys(p_at), x_at).mean() > cost(p_at, x_at).mean()  # the price of few keys


# ---- in the browser: what it costs -----------------------------------------------------------------------------------


@pytest.fixture
def page(visit, base):
    page, complaints = visit(f"{base['file']}/{PAGE}")
    yield page
    assert not complaints, "\n" + "\n".join(complaints)


def opened(visit, base, address, size=WIDE):
    """The page with an address, as a link opens it."""
    page, complaints = visit(f"{base['file']}/{PAGE}#{address}", size)
    return page, complaints


def network_there(page):
    page.evaluate("made.networks.load('pixelcnn')")


def key(page, n):
    return page.locator(".keys button").nth(n)


def hash_of(page, **expected):
    """Wait until the address says so: it follows after a moment."""
    text = "&".join(f"{name}={value}" for name, value in expected.items())
    page.wait_for_function("text => location.hash === '#' + text", arg=text)
    return text


def numbers(text):
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def test_the_network_saw_no_more_than_the_reader():
    """Its probability at a pixel is the same whatever comes there and later."""
    x = images()[4].clone()
    p = probabilities(x)[0]
    for pixel in asked(x)[::6]:
        changed = x.clone()
        changed[pixel:] = 1 - changed[pixel:]
        assert abs(probabilities(changed)[0, pixel] - p[pixel]) < 1e-9


@in_browser
def test_the_same_pixels_are_asked(page):
    found = page.evaluate("made.digits.images.map(text => made.guess.unpacked(text))")
    assert torch.equal(torch.tensor(found).double(), images())
    rule = page.evaluate("made.digits.images.map(text => made.guess.askedOf(made.guess.unpacked(text)))")
    assert rule == [asked(x).tolist() for x in images()]
    noise = torch.randint(2, (3, 784), generator=torch.Generator().manual_seed(0))  # with ink on the border, too
    rule = page.evaluate("images => images.map(made.guess.askedOf)", noise.tolist())
    assert rule == [asked(x.double()).tolist() for x in noise]
    assert [key / 100 for key in page.evaluate("made.guess.KEYS")] == KEYS


@in_browser
@pytest.mark.parametrize("image", [1, 18, 30])
def test_every_cost_and_every_total(image, visit, base):
    page, complaints = opened(visit, base, f"image={image}&bets=")
    network_there(page)
    x = images()[image - 1]
    at = asked(x)
    bets = torch.randint(5, (ASKED,), generator=torch.Generator().manual_seed(image))
    said, its = torch.tensor(KEYS).double()[bets], probabilities(x)[0, at]
    yours, networks = cost(said, x[at]), cost(its, x[at])
    for k, bet in enumerate(bets.tolist()):
        key(page, bet).click()
        text = page.locator(".outcome").inner_text()
        pixel = at[k].item()
        word = "ink" if x[pixel] else "no ink"
        assert text.startswith(f"Pixel {k + 1}, row {pixel // 28 + 1}, column {pixel % 28 + 1}: {word}. You said ")
        assert f"You said {100 * said[k]:.0f}\xa0% and paid {yours[k]:.2f};" in text
        percent, paid = re.search(r"network said (\S+)\xa0% and paid (\S+) nats", text).groups()
        assert abs(float(percent) - 100 * its[k]) < 0.51
        assert abs(float(paid) - networks[k]) < 0.0051
        if k + 1 < ASKED:
            means = [costs[: k + 1].mean().item() for costs in (yours, networks)]
            so_far = [number for mean in means for number in (mean / math.log(2), mean)]  # bits, nats
            assert numbers(page.locator(".score").inner_text()) == pytest.approx(so_far, abs=0.0051)
    share = float(re.search(r"share: ([\d.]+)", SCRIPT.read_text())[1])
    expected = {
        "you": yours,
        "the network": networks,
        "the network with your keys": cost(with_keys(its), x[at]),
        "always 50\xa0%": cost(0.5, x[at]),
        f"always {100 * share:.0f}\xa0%": cost(share, x[at]),
    }
    rows = [row.split("\t") for row in page.locator(".results tbody tr").all_inner_texts()]
    found = {name.strip(): (float(bits), float(nats)) for name, bits, nats in rows}
    assert found == {
        name.replace("\xa0", " ") if name not in found else name: pytest.approx(
            (costs.mean().item() / math.log(2), costs.sum().item()), abs=0.0051
        )
        for name, costs in expected.items()
    }
    totals = [float(row[2]) for row in rows]
    assert totals == sorted(totals)
    more = page.locator(".results .more").inner_text()
    each = (yours - networks) / math.log(2)
    assert numbers(more)[:2] == pytest.approx(
        [abs(each.mean().item()), each.std().item() / math.sqrt(ASKED)], abs=0.0051
    )
    assert f"Pixel {(yours > yours.max() - 1e-6).nonzero()[0].item() + 1} cost you most: {yours.max():.2f} nats" in more
    for n, share_said in enumerate(KEYS):
        if (bets == n).any():
            came = x[at][bets == n]
            assert f"{100 * share_said:.0f}\xa0%: ink in {came.sum():.0f} of {len(came)}" in more
    assert not complaints


@in_browser
def test_bars_are_as_high_as_costs(visit, base):
    page, complaints = opened(visit, base, "image=3&bets=")
    network_there(page)
    for n in (4, 4, 0, 2, 4, 3, 1):
        key(page, n).click()
    heights = page.evaluate("""() => {
      const bars = document.querySelector('.pairs canvas'), pen = bars.getContext('2d'), width = bars.width / 24
      const purple = getComputedStyle(bars).getPropertyValue('--made-purple').trim().slice(1)
      const all = [...Array(7).keys()].map(k => {
        const column = pen.getImageData(k * width + width / 2, 0, 1, bars.height).data
        const is = y => [0, 1, 2].every(c => column[4 * y + c] === parseInt(purple.slice(2 * c, 2 * c + 2), 16))
        const count = (from, to) => [...Array(to - from).keys()].filter(y => is(from + y)).length
        return [count(0, bars.height / 2 - 1), count(bars.height / 2 + 1, bars.height)]
      })
      return all.map(pair => pair.map(h => h / (bars.height / 2) * 4))
    }""")
    x = images()[2]
    at = asked(x)[:7]
    said = torch.tensor([KEYS[n] for n in (4, 4, 0, 2, 4, 3, 1)])
    expected = torch.stack([cost(said, x[at]), cost(probabilities(x)[0, at], x[at])], 1)
    assert (torch.tensor(heights) - expected).abs().max() < 0.08  # two dots of 120 for 4 nats
    assert not complaints


# ---- in the browser: a reader ----------------------------------------------------------------------------------------


@in_browser
def test_a_game_by_keys_alone(page):
    network_there(page)
    key(page, 0).focus()
    for n in range(ASKED):
        page.keyboard.press(str(n % 5 + 1))
    bets = "".join(str(n % 5) for n in range(ASKED))
    hash_of(page, image=1, bets=bets)
    assert page.evaluate("document.activeElement.className") == "results"
    page.keyboard.press("3")  # the game is over
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Link to this game"
    look = page.get_by_label(re.compile("^Look back at pixel"))
    look.focus()
    page.keyboard.press("Home")
    assert page.locator(".outcome").inner_text().startswith("Pixel 1, ")
    page.get_by_role("button", name="Next image").focus()
    page.keyboard.press("Enter")
    hash_of(page, image=2, bets="")
    page.keyboard.press("5")
    hash_of(page, image=2, bets="4")
    page.keyboard.press("Control+z")  # the game before, as it was left
    hash_of(page, image=1, bets=bets)
    assert page.locator(".results").is_visible()
    page.keyboard.press("Control+Shift+z")
    hash_of(page, image=2, bets="4")


@in_browser
def test_a_key_that_is_held_or_typed_elsewhere_is_no_bet(page):
    page.locator("a.left-prev").focus()
    page.keyboard.press("3")
    key(page, 0).focus()
    page.keyboard.down("3")
    page.keyboard.down("3")
    page.keyboard.up("3")
    page.keyboard.press("6")
    page.keyboard.press("Control+1")
    hash_of(page, image=1, bets="2")
    page.evaluate("document.activeElement.blur()")  # nothing has the focus, as on a page just opened
    page.keyboard.press("4")
    hash_of(page, image=1, bets="23")


@in_browser
def test_a_double_click_is_one_bet(page):
    key(page, 1).dblclick()
    hash_of(page, image=1, bets="1")


@in_browser
def test_a_game_by_touch(browser, base):
    """On a phone: paper and keys are in view from the beginning, and stay where they are."""
    context = browser.new_context(viewport=NARROW, has_touch=True, is_mobile=True)
    page = context.new_page()
    complaints = watch(page, base["file"])
    page.goto(f"{base['file']}/{PAGE}")
    network_there(page)
    where = lambda: [
        page.locator(part).bounding_box() for part in (".guess canvas.paper", ".keys", "[aria-label=Game]")
    ]
    before = where()
    paper, keys = before[:2]
    assert paper["y"] > 0
    assert paper["y"] + paper["height"] <= keys["y"]
    assert keys["y"] + keys["height"] < NARROW["height"]
    for n in range(5):
        box = key(page, n).bounding_box()
        assert min(box["width"], box["height"]) >= 36
    for n in range(ASKED):
        assert where() == before
        key(page, (3 * n) % 5).tap()
    assert page.evaluate("scrollY") == 0
    assert page.locator(".verdict").inner_text().startswith("You paid ")
    assert page.locator(".guess canvas.paper").bounding_box() == paper
    page.get_by_role("button", name="Next image").tap()
    assert page.locator(".headline").inner_text().startswith("Image 2 of 30, pixel 1 of 24")
    assert not complaints
    context.close()


def shown(page):
    """Which cells of the paper are open, by their dots."""
    return page.evaluate("""() => {
      const pen = document.querySelector('.guess canvas.paper').getContext('2d')
      const at = (i, x, y) => pen.getImageData(i % 28 * 20 + x, Math.floor(i / 28) * 20 + y, 1, 1).data.join()
      return [...Array(784).keys()].map(i => at(i, 10, 10) !== at(i, 7, 10))
    }""")


@in_browser
def test_the_paper_shows_what_came_before_and_no_more(visit, base):
    page, complaints = opened(visit, base, "image=5&bets=")
    at = asked(images()[4]).tolist()
    for k in range(3):
        is_open = shown(page)
        assert is_open == [i >= at[k] for i in range(784)]
        key(page, 2).click()
    assert not complaints


@in_browser
def test_a_link_challenges_and_does_not_spoil(visit, base):
    page, _ = opened(visit, base, f"image=4&bets={SURE}")
    x = images()[3]
    at = asked(x)
    theirs = cost(0.2, x[at]).mean().item() / math.log(2)
    assert f"Who sent this link paid {theirs:.2f} bits per pixel" in page.locator(".challenge").inner_text()
    assert page.locator(".results").is_hidden()
    assert shown(page) == [i >= at[0] for i in range(784)]
    hash_of(page, image=4, bets="", theirs=SURE)
    for _ in range(ASKED):
        key(page, 2).click()
    assert re.search(rf"who sent the link\s+{theirs:.2f}\s", page.locator(".results table").inner_text())
    assert page.get_by_label("Link to this game").input_value().endswith(f"#image=4&bets={'2' * ASKED}")
    hash_of(page, image=4, bets="2" * ASKED, theirs=SURE)
    page.reload()  # one's own game is still there
    assert page.locator(".results").is_visible()
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("() => /Copied|Selected/.test(document.querySelector('.results [role=status]').textContent)")


@in_browser
def test_an_unfinished_game_goes_on(visit, base):
    page, _ = opened(visit, base, "image=7&bets=0123&again=1")
    assert "pixel 5 of 24" in page.locator(".headline").inner_text()
    hash_of(page, image=7, bets="0123", again=1)
    key(page, 4).click()
    hash_of(page, image=7, bets="01234", again=1)


MALFORMED = [
    "image=0&bets=1",
    "image=31&bets=",
    "image=x&bets=12",
    "image=1.5&bets=",
    "image=3&bets=5",
    f"image=3&bets={SURE}1",
    "image=3&bets=12&theirs=9",
    "bets=123",
    "=",
    "image=%E0%A4%A&bets=1",
    "image=1e1&bets=",
]


@in_browser
@pytest.mark.parametrize("address", MALFORMED)
def test_a_malformed_address_begins_anew(address, visit, base):
    page, complaints = opened(visit, base, address)
    assert page.locator(".headline").inner_text().startswith("Image 1 of 30, pixel 1 of 24")
    key(page, 1).click()
    hash_of(page, image=1, bets="1")
    assert not complaints


@in_browser
def test_every_state_comes_back_from_its_address(page):
    back = """states => states.map(state => {
      const { image, bets, theirs, again } = made.guess.stateOf(made.guess.addressOf(state), false)
      return { image, bets, theirs, again }
    })"""
    pick = torch.Generator().manual_seed(0)
    some = lambda n: torch.randint(5, (n,), generator=pick).tolist()
    states = [
        {"image": n % 30 + 1, "bets": some(n), "theirs": some(ASKED) if n % 3 else None, "again": n % 2 == 1}
        for n in range(ASKED + 1)
    ]
    assert page.evaluate(back, states) == states


@in_browser
def test_to_start_again_is_said_and_can_be_undone(page):
    for n in (1, 2, 3):
        key(page, n).click()
    hash_of(page, image=1, bets="123")
    page.get_by_role("button", name="Start again").click()
    hash_of(page, image=1, bets="", again=1)
    for _ in range(ASKED):
        key(page, 2).click()
    assert "You had seen pixels of this image before" in page.locator(".results").inner_text()
    hash_of(page, image=1, bets="2" * ASKED, again=1)
    page.go_back()
    hash_of(page, image=1, bets="123")
    assert "pixel 4 of 24" in page.locator(".headline").inner_text()


@in_browser
def test_after_the_last_image_comes_the_first(visit, base):
    page, _ = opened(visit, base, "image=30&bets=")
    page.get_by_role("button", name="Next image").click()
    assert page.locator(".headline").inner_text().startswith("Image 1 of 30")


@in_browser
def test_a_pixel_and_its_bars_belong_together(page):
    network_there(page)
    for _ in range(4):
        key(page, 2).click()
    outcome = page.locator(".outcome")
    bars = page.locator(".pairs canvas").bounding_box()
    page.mouse.move(bars["x"] + bars["width"] * 1.5 / 24, bars["y"] + 20)
    assert outcome.inner_text().startswith("Pixel 2, ")
    pixel = asked(images()[0])[2].item()
    box = page.locator(".guess canvas.paper").bounding_box()
    cell = box["width"] / 28
    page.mouse.move(box["x"] + (pixel % 28 + 0.5) * cell, box["y"] + (pixel // 28 + 0.5) * cell)
    assert outcome.inner_text().startswith("Pixel 3, ")
    page.mouse.move(2, 2)
    assert outcome.inner_text().startswith("Pixel 4, ")


@in_browser
def test_who_cannot_see_the_paper_is_told_what_is_around(visit, base):
    page, _ = opened(visit, base, "image=2&bets=22222222")
    x = images()[1].reshape(28, 28).int()
    row, column = divmod(asked(images()[1])[8].item(), 28)

    def ink(values):
        runs = re.finditer("1+", "".join(map(str, values.tolist())))
        spans = [f"{m.start() + 1}" + (f" to {m.end()}" if len(m[0]) > 1 else "") for m in runs]
        return f"ink in columns {', '.join(spans)}" if spans else "no ink"

    word = lambda value: "ink" if value else "no ink"
    expected = (
        f"Next: pixel 9 of 24, row {row + 1}, column {column + 1}. "
        f"Left: {word(x[row, column - 1])}. Above: {word(x[row - 1, column])}. "
        f"This row so far: {ink(x[row, :column])}. "
        f"Rows 3 above: {ink(x[row - 3])}; 2 above: {ink(x[row - 2])}; 1 above: {ink(x[row - 1])}."
    )
    said = page.locator(".guess .said")
    assert said.get_attribute("role") == "status"
    assert said.locator(".unseen").text_content() == expected


@in_browser
def test_without_the_network_the_game_goes_on(browser, base):
    page = browser.new_page()
    page.route("**/live_weights/*", lambda route: route.abort())
    page.goto(f"{base['http']}/{PAGE}")
    key(page, 1).click()
    page.wait_for_function("() => /could not be loaded/.test(document.querySelector('.score').textContent)")
    for _ in range(ASKED - 1):
        key(page, 1).click()
    assert "the network's score is missing" in page.locator(".verdict").inner_text()
    assert page.locator(".results tbody tr").count() == 3
    page.unroute("**/live_weights/*")
    page.get_by_role("button", name="Next image").click()  # tries again
    key(page, 1).click()
    page.wait_for_function("() => /the network \\d/.test(document.querySelector('.score').textContent)")
    page.close()


# ---- in the browser: how it looks ------------------------------------------------------------------------------------

SHIFT = """
window.shift = 0
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value
}).observe({ type: 'layout-shift', buffered: true })
"""


@in_browser
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_moves_when_it_takes_the_place_of_the_picture(size, browser, base):
    page = browser.new_page(viewport=size)
    page.add_init_script(SHIFT)
    page.goto(f"{base['http']}/{PAGE}")
    network_there(page)
    assert page.evaluate("new Promise(r => requestAnimationFrame(() => setTimeout(() => r(shift), 100)))") < 0.05
    page.close()


@in_browser
def test_it_fits_every_width(visit, base):
    for address in ("image=9&bets=", f"image=9&bets=&theirs={SURE}", f"image=9&bets={SURE[1:]}&theirs={SURE}"):
        page, complaints = opened(visit, base, address)
        network_there(page)
        if "bets=1" in address:
            key(page, 4).click()
            assert page.locator(".results").is_visible()
        for width in (320, 390, 560, 620, 768, 1024, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate(OVERFLOW) is None
            cut = """() => [...document.querySelectorAll('.guess *')].filter(e =>
              !e.closest('.unseen') && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && e.tagName !== 'INPUT')
              .map(e => e.outerHTML.slice(0, 80))"""
            assert page.evaluate(cut) == [], width
        page.goto("about:blank")
        assert not complaints


@in_browser
@pytest.mark.parametrize("bets", ["12", "1" * (ASKED - 1)])
def test_it_is_accessible_in_the_middle_and_at_the_end(bets, visit, base):
    page, complaints = opened(visit, base, f"image=9&bets={bets}&theirs={SURE}", NARROW)
    network_there(page)
    key(page, 3).click()
    page.evaluate(AXE_SCRIPT)
    complaints += [f"light, narrow: {text}" for text in page.evaluate(VIOLATIONS, WCAG)]
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark' }")
    page.set_viewport_size(WIDE)
    complaints += [f"dark, wide: {text}" for text in page.evaluate(VIOLATIONS, "color-contrast")]
    assert not complaints, "\n".join(complaints)


@in_browser
def test_the_paper_follows_the_theme(page):
    corner = "[...document.querySelector('.guess canvas').getContext('2d').getImageData(2, 2, 1, 1).data].slice(0, 3)"
    brightness = []
    for theme in ("light", "dark"):
        page.evaluate(
            "theme => new Promise(r => { document.documentElement.dataset.theme = theme; setTimeout(r) })", theme
        )
        brightness.append(sum(page.evaluate(corner)))
    assert brightness[0] > 600 > 200 > brightness[1]


@in_browser
def test_without_scripts_the_picture_stays(browser, base):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base['file']}/{PAGE}")
    picture = page.locator("a img[src$='guess_the_pixels.png']")
    assert picture.is_visible()
    context.close()


@in_browser
def test_the_images_are_a_small_file(built):
    assert (HTML / "_static" / "guess_digits.js").stat().st_size < 6000
