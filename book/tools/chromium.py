"""The browser for tests and for the PDF: `python book/tools/chromium.py` finds or installs one."""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ["chromium", "chromium-browser", "google-chrome"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
MISSING = "no Chromium found: install the package `chromium`, or run `playwright install chromium`"
# Resolves once MathJax, where a page has it, has typeset everything.
TYPESET = """async () => {
  if (!document.querySelector('.math')) return
  while (!window.MathJax?.startup?.promise) await new Promise(r => setTimeout(r, 20))
  await MathJax.startup.promise
}"""


def find(playwright):
    """The path of a Chromium, the system's or Playwright's own; None where there is neither."""
    path = next(filter(None, map(shutil.which, NAMES)), playwright.chromium.executable_path)
    return path if Path(path).exists() else None


def main():
    with sync_playwright() as playwright:
        path = find(playwright)
    if path is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"])
        with sync_playwright() as playwright:
            path = find(playwright)
    print(f"Browser: {path}" if path else f"The built book will not be opened: {MISSING}.")
    return 0  # the tests that need it say so


if __name__ == "__main__":
    sys.exit(main())
