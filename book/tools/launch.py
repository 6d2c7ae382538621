"""Let readers open chapters on Binder, Colab or a JupyterHub; `repository: url:` in `_config.yml` switches it on.

As a Sphinx extension it puts the buttons on the pages of notebooks. `python book/tools/execute.py --first-cell` writes
the address into the chapters, so that one opened without the rest of the book, as on Colab, fetches the rest.
"""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FETCH = """import os

# opened alone, as on Colab: fetch the book that this chapter belongs to
if not os.path.exists("results"):
    !test -d made-book || git clone --quiet --depth 1 --branch {branch} {url} made-book
    %cd -q made-book/book
"""
INSTALL = """# in a fresh environment: install the package from the clone that holds this notebook
if importlib.util.find_spec("made") is None:
    %pip install --quiet ..
"""
OPENING = re.compile(r"\Aimport importlib\.util\n.*?    %pip install --quiet \.\.\n", re.S)


def repository():
    """The address and the branch that `_config.yml` names; the address is "" where it names none."""
    setting = yaml.safe_load((ROOT / "_config.yml").read_text()).get("repository") or {}
    url = (setting.get("url") or "").rstrip("/").removesuffix(".git")
    return url, setting.get("branch", "main")


def with_opening(source, url, branch):
    """The first code cell of a chapter, for a book that can be fetched from `url`, or from nowhere.

    >>> cell = "import importlib.util\\n\\n" + INSTALL + "\\nimport torch"
    >>> print(with_opening(cell, "https://example.org/made", "main"))
    import importlib.util
    import os
    <BLANKLINE>
    # opened alone, as on Colab: fetch the book that this chapter belongs to
    if not os.path.exists("results"):
        !test -d made-book || git clone --quiet --depth 1 --branch main https://example.org/made made-book
        %cd -q made-book/book
    <BLANKLINE>
    # in a fresh environment: install the package from the clone that holds this notebook
    if importlib.util.find_spec("made") is None:
        %pip install --quiet ..
    <BLANKLINE>
    import torch
    >>> with_opening(with_opening(cell, "https://example.org/made", "main"), "", "main") == cell
    True
    """
    fetch = FETCH.format(url=url, branch=branch) if url else ""
    opening = f"import importlib.util\n{fetch}\n{INSTALL}"
    return OPENING.sub(lambda _: opening, source)


def add_buttons(app, config):
    url, branch = repository()
    if url:
        buttons = config.html_theme_options.setdefault("launch_buttons", {})  # may name a jupyterhub_url
        buttons.update(notebook_interface="jupyterlab", binderhub_url="https://mybinder.org")
        buttons.update(colab_url="https://colab.research.google.com")
        config.html_theme_options.update(repository_url=url, repository_branch=branch)


def setup(app):
    app.connect("config-inited", add_buttons)
    return {"parallel_read_safe": True}
