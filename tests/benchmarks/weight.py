"""Weigh the pages of the built book, and time their first words on a slow line and a slow processor.

    python tests/benchmarks/weight.py                    after `make book`; about 10 minutes
    python tests/benchmarks/weight.py --before FOLDER    beside an older build, as the _build/html of another checkout
    python tests/benchmarks/weight.py --toy              two pages, once, into a temporary folder: proves that it runs

Chromium reads the pages from a local server that compresses text, as static hosts do, over HTTP/1.1; its developer
tools slow the line and the processor down. Every visit begins with an empty cache. Builds take turns within a round, so
that a slow moment of the machine meets both. Times are medians over rounds, in seconds from the start of the
navigation: `paint` is the browser's first contentful paint, `content` when the heading and the first paragraph are
drawn, `done` when everything is loaded, formulas are typeset and an interactive page is in place. `shift` is the sum of
all layout shifts. Bytes are those of one visit, without what a page loads later, on demand.
"""

import functools
import gzip
import http.server
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
    "gzip": True,
    "http": "1.1",
    "rounds": 5,
    "timed": [
        "book/index",
        "book/04_made",
        "book/mask_explorer",
        "book/live_made",
    ],
}
TOY = {**CONFIG, "mbit_per_second": 100, "latency_ms": 0, "cpu_slowdown": 1, "rounds": 1, "timed": ["book/index"]}
TEXT = {".html", ".js", ".css", ".svg", ".json", ".txt", ".xml"}

# The browser itself says when it has drawn an element that bears the attribute `elementtiming`.
WATCH = """
window.seen = {shift: 0}
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
  while (document.querySelector('a > img:is([src*="mask_explorer.png"], [src*="live_made.png"])')) await pause()
  const done = performance.now()
  await new Promise(r => setTimeout(r, 500))  // for shifts that follow
  const paint = performance.getEntriesByName('first-contentful-paint')[0].startTime
  return {paint, content: Math.max(seen.h1, seen.p), done, shift: seen.shift}
}"""


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


def visit(browser, address, page, sent, config):
    """One visit with an empty cache: times, shift and bytes."""
    sent.clear()
    width, height = config["viewport"]
    context = browser.new_context(viewport={"width": width, "height": height})
    tab = context.new_page()
    tab.set_default_timeout(180_000)
    tools = context.new_cdp_session(tab)
    tools.send("Network.enable")
    speed = config["mbit_per_second"] * 1e6 / 8
    line = {"latency": config["latency_ms"], "downloadThroughput": speed, "uploadThroughput": speed}
    tools.send("Network.emulateNetworkConditions", {"offline": False, **line})
    tools.send("Emulation.setCPUThrottlingRate", {"rate": config["cpu_slowdown"]})
    tab.add_init_script(WATCH)
    tab.goto(f"{address}/{page}.html", wait_until="commit")
    found = tab.evaluate(DONE)
    context.close()
    bytes_ = {"requests": len(sent), "raw": sum(raw for _, raw, _ in sent), "gzip": sum(size for *_, size in sent)}
    return {key: found[key] / (1 if key == "shift" else 1000) for key in found} | bytes_


def measure(builds, config, pages):
    """A row for every page and build: bytes, and for those that are timed the medians over rounds."""
    rows, hosts = [], {}
    with sync_playwright() as playwright:
        path = find(playwright)
        if path is None:
            raise SystemExit(MISSING)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for name, folder in builds.items():
            sent = []
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, folder, sent))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            hosts[name] = (f"http://127.0.0.1:{server.server_port}", sent, server)
        for page in pages:
            timed = page in config["timed"]
            settings = config if timed else {**config, "mbit_per_second": 100, "latency_ms": 0, "cpu_slowdown": 1}
            visits = {name: [] for name in builds}
            for _ in range(config["rounds"] if timed else 1):
                for name, (address, sent, _) in hosts.items():
                    visits[name].append(visit(browser, address, page, sent, settings))
            for name, found in visits.items():
                row = {"build": name, "page": page, **{key: found[0][key] for key in ("requests", "raw", "gzip")}}
                row["shift"] = round(statistics.median(one["shift"] for one in found), 3)
                for key in ("paint", "content", "done") if timed else ():
                    row[key] = round(statistics.median(one[key] for one in found), 2)
                rows.append(row)
                print(*(f"{key} {value}" for key, value in row.items()), sep=", ", flush=True)
        version = browser.version
        browser.close()
    for *_, server in hosts.values():
        server.shutdown()
    return rows, version


def main():
    before = {"type": Path, "help": "the pages of an older build, to be measured beside"}
    chosen, folder = begin("pages", __doc__, "10 minutes, 20 beside an older build", before=before)
    config, started = TOY if chosen.toy else CONFIG, time.time()
    builds = {"before": chosen.before, "now": HTML} if chosen.before else {"now": HTML}
    pages = [entry for entry in entries() if entry == "book/glossary" or not chosen.toy or entry in config["timed"]]
    rows, version = measure(builds, config, pages)
    load = [round(value, 1) for value in os.getloadavg()]  # of the last 1, 5 and 15 minutes: what else was going on
    print(write("pages", config, started, folder, chromium=version, load=load, rows=rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
