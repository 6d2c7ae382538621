"""Build the book into _build/html, without a network, and print the page to open: `python book/tools/build.py`."""

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import signposts
import yaml

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


# What our formulas need of MathJax, in the order in which it is loaded. Its ready-made files bring all packages of TeX
# and a menu, which makes every formula a stop of the Tab key and offers what is not shipped: half of their 1.3 MB.
MATHJAX = ["core", "input/tex-base", "[tex]/ams", "[tex]/boldsymbol", "[tex]/newcommand", "output/chtml"]
MATHJAX += ["output/chtml/fonts/tex", "a11y/assistive-mml"]
# Typeset what is in view first, and a few formulas at a time: a page that is being typeset can be scrolled.
MATHJAX_SETTINGS = """window.MathJax = {...window.MathJax, tex: {packages: PACKAGES}, startup: {pageReady: async () => {
  const inView = ({top, bottom}) => bottom > 0 && top < innerHeight
  const formulas = [...document.querySelectorAll(".math")]
  const near = new Set(formulas.filter(formula => inView(formula.getBoundingClientRect())))
  const waiting = [...near, ...formulas.filter(formula => !near.has(formula))]
  while (waiting.length) {
    await MathJax.typesetPromise(waiting.splice(0, 16))
    await new Promise(resolve => { setTimeout(resolve) })
  }
}}};"""


def copy_mathjax(target):
    """Put together the MathJax that the pages use, from the installed `django-static-mathjax`, and copy its fonts."""
    source = files("mathjax") / "static" / "mathjax" / "es5"
    shutil.rmtree(target, ignore_errors=True)
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    (target / fonts).mkdir(parents=True)
    for font in (source / fonts).iterdir():
        shutil.copy2(font, target / fonts)
    packages = ["base", *(name.removeprefix("[tex]/") for name in MATHJAX if name.startswith("[tex]"))]
    components = [source / f"{name.replace('[tex]', 'input/tex/extensions')}.js" for name in MATHJAX]
    parts = [
        MATHJAX_SETTINGS.replace("PACKAGES", json.dumps(packages)),
        (source / "startup.js").read_text(encoding="utf8"),
        f"MathJax.loader.preLoad(...{json.dumps(MATHJAX)});",
        *(component.read_text(encoding="utf8") for component in components),
    ]
    (target / "book-chtml.js").write_text("\n".join(parts), encoding="utf8")


def toc_entries(node):
    """Every page named in a (nested) table of contents.

    >>> list(toc_entries({"root": "index", "parts": [{"chapters": [{"file": "a", "sections": [{"file": "b"}]}]}]}))
    ['index', 'a', 'b']
    """
    if isinstance(node, list):
        for item in node:
            yield from toc_entries(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("root", "file"):
                yield value
            else:
                yield from toc_entries(value)


def entries():
    """Every page of the book, in reading order."""
    return list(toc_entries(yaml.safe_load((ROOT / "_toc.yml").read_text())))


def main():
    # From scratch: Sphinx does not repeat the warnings of unchanged pages, and an old page must not pass for a new one.
    shutil.rmtree(ROOT / "_build", ignore_errors=True)
    copy_mathjax(ROOT / "book" / "static" / "mathjax")
    import live_weights  # only here: it loads PyTorch

    live_weights.main()
    # -W: warnings are errors; -n: so are references that lead nowhere; --keep-going: report all of them.
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", ".", "-W", "-n", "--keep-going"]
    code = subprocess.run(command, cwd=ROOT).returncode
    if code:
        return code
    pages = [HTML / f"{entry}.html" for entry in entries()]
    # Jupyter Book 2 ignores _config.yml, writes no page and still reports success.
    missing = [str(page) for page in pages if not page.is_file()]
    if missing:
        print("Not built, although Jupyter Book reported success:", *missing, sep="\n  ")
        return 1
    from pages import CHAPTERS  # reads results

    signposts.write(HTML, CHAPTERS)
    print(f"\nThe book is built. Open this page in a browser:\n\n    {pages[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
