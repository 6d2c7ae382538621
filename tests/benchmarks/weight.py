"""Weigh the pages of the built book, and time their first words on a slow line and a slow processor.

    python tests/benchmarks/weight.py                    after `make book`; about 10 minutes
    python tests/benchmarks/weight.py --before FOLDER    beside an older build, as the _build/html of another checkout
    python tests/benchmarks/weight.py --toy              two pages, once, into a temporary folder: proves that it runs

Chromium reads the pages from a local server that compresses text, as static hosts do, over HTTP/1.1; its developer
tools slow the line and the processor down. Every visit begins with an empty cache. Builds take turns within a round, so
that a slow moment of the machine meets both. Times are medians over rounds, in seconds from the start of the
navigation: `paint` is the browser's first contentful paint, `content` when the heading and the first paragraph are
drawn, `done` when everything is loaded, formulas are typeset and an interactive page is in place. Bytes are those of
one visit, without what a page loads later, on demand.

`shift` is the sum of all layout shifts. The pages that are timed are visited twice more on a wide screen: `shift_wide`,
and `shift_near` where the reader has gone to the picture that an interactive page replaces before it is replaced.

The page "Live MADE" is measured further. On the slow line: `drawing`, when a digit is being drawn, by itself or because
the reader pressed the button at once; `usable`, when the first network is there; then `any_order`, how long the largest
network takes from the moment it is asked for, and `longest_task`, the longest time that the page did not answer
meanwhile. On a fast line: the times between frames while a digit is drawn at the speed that the page begins with, on
both screens, their median and 90th percentile in milliseconds. And what other work on the machine changes little:
`cpu`, the milliseconds that the page's thread works for a frame, at full speed; a slower processor takes so many times
as long.
"""

import functools
import gzip
import http.server
import itertools
import mimetypes
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "book" / "tools"), str(ROOT / "book" / "experiments")]
from build import HTML, entries
from chromium import FLAGS, MISSING, find
from playwright.sync_api import sync_playwright
from run import begin, write

CONFIG = {
    "mbit_per_second": 1.6,
    "latency_ms": 150,
    "cpu_slowdown": 4,
    "viewport": [390, 844],
    "wide": [1280, 900],
    "gzip": True,
    "http": "1.1",
    "rounds": 3,
    "timed": [
        "book/index",
        "book/04_made",
        "book/mask_explorer",
        "book/live_made",
        "book/guess_the_pixels",
    ],
}
TOY = {**CONFIG, "mbit_per_second": 100, "latency_ms": 0, "cpu_slowdown": 1, "rounds": 1, "timed": ["book/index"]}
TEXT = {".html", ".js", ".css", ".svg", ".json", ".txt", ".xml"}

# The browser itself says when it has drawn an element that bears the attribute `elementtiming`.
WATCH = """
window.seen = {shift: 0, task: 0}
window.PICTURES = ['mask_explorer', 'live_made', 'guess_the_pixels'].map(name => `a > img[src*="/${name}.png"]`).join()
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) seen.task = Math.max(seen.task, entry.duration)
}).observe({type: 'longtask'})
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value
}).observe({type: 'layout-shift', buffered: true})
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) seen[entry.identifier] ??= entry.renderTime
}).observe({type: 'element', buffered: true})
new MutationObserver((_, observer) => {
  const found = ['h1', 'p'].map(name => [name, document.querySelector(`article ${name}`)])
  for (const [name, element] of found) element?.setAttribute('elementtiming', name)
  if (found.every(([, element]) => element)) observer.disconnect()
}).observe(document, {childList: true, subtree: true})
"""
DONE = """async () => {
  const pause = () => new Promise(r => setTimeout(r, 20))
  while (document.readyState !== 'complete' || !seen.h1 || !seen.p) await pause()
  if (document.querySelector('.math')) {
    while (!window.MathJax?.startup?.promise) await pause()
    await MathJax.startup.promise
  }
  while (document.querySelector(PICTURES)) await pause()
  const done = performance.now()
  await new Promise(r => setTimeout(r, 500))  // for shifts that follow
  const paint = performance.getEntriesByName('first-contentful-paint')[0].startTime
  return {paint, content: Math.max(seen.h1, seen.p), done, shift: seen.shift}
}"""

# The reader goes to the picture that will be replaced, as soon as it is there.
GO_NEAR = """
new MutationObserver((_, observer) => {
  const picture = document.querySelector(PICTURES)
  if (!picture || seen.near) return
  seen.near = true
  picture.scrollIntoView({block: 'center', behavior: 'instant'})
}).observe(document, {childList: true, subtree: true})
"""
# What the measurements of live MADE share. A build without a recording draws when it is told to.
LIVE = """
  const pause = () => new Promise(r => setTimeout(r, 10))
  const status = () => document.querySelector('.live-made .status')?.textContent ?? ''
  const isDrawing = () => /^(Drawing|Finished)/.test(status())
  const draw = () => document.querySelector('.live-made .bar .primary').click()
  const load = name => (made.networks ?? liveMade).load(name)
  while (!status()) await pause()
  document.querySelector('.live-made canvas.paper').scrollIntoView({block: 'center', behavior: 'instant'})
"""
ALIVE = f"""async () => {{{LIVE}
  if (!made.recording) draw()
  while (!isDrawing()) await pause()
  const drawing = performance.now()
  while (made.networks ? !made.networks.arrived.pixelcnn : !isDrawing()) await pause()
  const usable = performance.now()
  while (!/^Finished/.test(status())) await pause()
  const asked = performance.now()
  seen.task = 0
  await load('any_order')
  const any_order = performance.now() - asked
  await new Promise(r => setTimeout(r, 500))
  return {{drawing, usable, any_order, longest_task: seen.task}}
}}"""
READY = f"""async () => {{{LIVE}
  await load('pixelcnn')
  while (made.recording && !/^Finished/.test(status())) await pause()
}}"""
FRAMES = f"""async () => {{{LIVE}
  draw()
  while (!/^Drawing/.test(status())) await pause()
  const times = []
  while (/^Drawing/.test(status())) times.push(await new Promise(requestAnimationFrame))
  return {{times}}
}}"""


class Host(http.server.BaseHTTPRequestHandler):
    """What a static host does with a folder; it notes the size of what it sent."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder, sent, *arguments):
        self.folder, self.sent = folder, sent
        super().__init__(*arguments)

    def do_GET(self):
        path = self.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        raw, content = packed(path)
        self.sent.append((path.relative_to(self.folder).as_posix(), raw, len(content)))
        self.send_response(200)
        self.send_header("Content-Type", mimetypes.guess_type(path)[0] or "application/octet-stream")
        if path.suffix in TEXT:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@functools.cache
def packed(path):
    """The size of a file, and what is sent of it."""
    content = path.read_bytes()
    return len(content), gzip.compress(content, 6) if path.suffix in TEXT else content


def visit(browser, address, config, scripts, size="viewport", before=""):
    """What the last script finds on a page, visited with an empty cache, and for how long the page's thread worked."""
    width, height = config[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    tab = context.new_page()
    tab.set_default_timeout(180_000)
    tools = context.new_cdp_session(tab)
    tools.send("Network.enable")
    speed = config["mbit_per_second"] * 1e6 / 8
    line = {"latency": config["latency_ms"], "downloadThroughput": speed, "uploadThroughput": speed}
    tools.send("Network.emulateNetworkConditions", {"offline": False, **line})
    tools.send("Emulation.setCPUThrottlingRate", {"rate": config["cpu_slowdown"]})
    tab.add_init_script(WATCH + before)
    tab.goto(address, wait_until="commit")
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    work = []
    for script in scripts:
        found = tab.evaluate(script)
        metrics = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
        work.append(metrics["TaskDuration"])
    context.close()
    return {**found, "work": work[-1] - work[0]}


def medians(found, digits=2, unit=1000):
    """The median of every number, in seconds."""
    return {key: round(statistics.median(one[key] for one in found) / unit, digits) for key in found[0]}


def row_of_page(builds, visits, name, page, timed):
    """What one page weighs in one build, when its words were there, and what moved."""
    found, sent = zip(*visits, strict=True)
    bytes_ = {"requests": len(sent[0]), "raw": sum(raw for _, raw, _ in sent[0]), "gzip": sum(n for *_, n in sent[0])}
    row = {"build": name, "page": page, **bytes_, "shift": round(statistics.median(one["shift"] for one in found), 3)}
    if timed:
        row |= medians([{key: one[key] for key in ("paint", "content", "done")} for one in found])
        for key, near in (("shift_wide", ""), ("shift_near", GO_NEAR)):
            row[key] = round(builds[name](page, DONE, size="wide", before=near)[0]["shift"], 3)
    print(*(f"{key} {value}" for key, value in row.items()), sep=", ", flush=True)
    return row


def measure_pages(builds, fast, folders, config, pages):
    """A row for every page and build that has it: bytes, and for those that are timed the medians over rounds."""
    rows = []
    for page in pages:
        timed, having = page in config["timed"], [name for name in builds if (folders[name] / f"{page}.html").is_file()]
        visits = {name: [] for name in having}
        for _ in range(config["rounds"] if timed else 1):
            for name in having:
                visits[name].append((builds if timed else fast)[name](page, DONE))
        rows += [row_of_page(builds, visits[name], name, page, timed) for name in having]
    return rows


def frames_of(visitor, size, throttled):
    """Of one drawing of a digit: the times between frames, or the work for one."""
    found = visitor("book/live_made", READY, FRAMES, size=size)[0]
    if not throttled:
        return found["work"] * 1000 / len(found["times"])
    times = [later - time for time, later in itertools.pairwise(found["times"])]
    tenths = statistics.quantiles(times, n=10)
    return tenths[4], tenths[8]


def measure_live(builds, fast, fastest, config):
    """A row for every build: how soon live MADE draws, and how smoothly."""
    alive, frames = ({name: [] for name in builds} for _ in range(2))
    for _ in range(config["rounds"]):
        for name in builds:
            found = builds[name]("book/live_made", ALIVE)[0]
            alive[name].append({key: value for key, value in found.items() if key != "work"})
            one = {}
            for screen, size in (("phone", "viewport"), ("wide", "wide")):
                one[f"{screen}_median"], one[f"{screen}_p90"] = frames_of(fast[name], size, throttled=True)
                one[f"{screen}_cpu"] = frames_of(fastest[name], size, throttled=False)
            frames[name].append(one)
    rows = [{"build": name, **medians(alive[name]), "frames_ms": medians(frames[name], 1, 1)} for name in builds]
    for row in rows:
        print(row, flush=True)
    return rows


def visitors(browser, hosts, config):
    """By build, a function that visits a page: what it found, and what the host has sent."""

    def visitor(address, sent):
        def look(page, *scripts, size="viewport", before=""):
            sent.clear()
            return visit(browser, f"{address}/{page}.html", config, scripts, size, before), list(sent)

        return look

    return {name: visitor(address, sent) for name, (address, sent, _) in hosts.items()}


def measure(folders, config, pages):
    """Rows of pages, rows of live MADE, and the version of the browser."""
    hosts = {}
    with sync_playwright() as playwright:
        path = find(playwright)
        if path is None:
            raise SystemExit(MISSING)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for name, folder in folders.items():
            sent = []
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, folder, sent))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            hosts[name] = (f"http://127.0.0.1:{server.server_port}", sent, server)
        fast = {**config, "mbit_per_second": 100, "latency_ms": 0}
        settings = (config, fast, {**fast, "cpu_slowdown": 1})
        slow, throttled, fastest = (visitors(browser, hosts, one) for one in settings)
        rows = measure_pages(slow, fastest, folders, config, pages)
        live = measure_live(slow, throttled, fastest, config)
        version = browser.version
        browser.close()
    for *_, server in hosts.values():
        server.shutdown()
    return rows, live, version


def main():
    before = {"type": Path, "help": "the pages of an older build, to be measured beside"}
    chosen, folder = begin("pages", __doc__, "10 minutes, 20 beside an older build", before=before)
    config, started = TOY if chosen.toy else CONFIG, time.time()
    builds = {"before": chosen.before, "now": HTML} if chosen.before else {"now": HTML}
    pages = [entry for entry in entries() if entry == "book/glossary" or not chosen.toy or entry in config["timed"]]
    rows, live, version = measure(builds, config, pages)
    load = [round(value, 1) for value in os.getloadavg()]  # of the last 1, 5 and 15 minutes: what else was going on
    print(write("pages", config, started, folder, chromium=version, load=load, rows=rows, live=live))
    return 0


if __name__ == "__main__":
    sys.exit(main())
