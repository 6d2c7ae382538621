"""With the address of a repository chapters can be opened elsewhere; without one nothing points anywhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import chapters
import checks
import launch
import pytest
import yaml

URL = "https://github.com/someone/a-book"


@pytest.mark.parametrize("path", [*chapters.PATHS, *chapters.APPENDICES], ids=lambda path: path.stem)
def test_first_cell_follows_the_setting(path):
    source = chapters.code_cells(chapters.read(path))[0].source
    assert launch.OPENING.match(source), "the first code cell must open as book/tools/launch.py writes it"
    assert launch.with_opening(source, *launch.repository()) == source, "run `make launch`"


def hrefs(html):
    return re.findall(r'href="(https?://[^"]*)"', html)


@pytest.mark.browser
def test_without_a_repository_no_page_points_to_one(built):
    if launch.repository()[0]:
        pytest.skip("a repository is set")
    for path in built.rglob("*.html"):
        found = [h for h in hrefs(path.read_text()) if re.search("jupyter-book|mybinder|colab|git-pull", h)]
        assert not found, f"{path.name}: {found}"


@pytest.fixture(scope="module")
def launchable(tmp_path_factory):
    """A copy of the project, cut to two pages, whose setting names a repository; built."""
    copy = tmp_path_factory.mktemp("book")
    unneeded = shutil.ignore_patterns("results", "experiments", "mathjax", "__pycache__")
    shutil.copytree(chapters.BOOK, copy / "book", ignore=unneeded)
    config = yaml.safe_load((chapters.ROOT / "_config.yml").read_text())
    config["repository"] = {"url": f"{URL}/", "branch": "stable"}
    config["launch_buttons"] = {"jupyterhub_url": "https://hub.example.org"}
    (copy / "_config.yml").write_text(yaml.safe_dump(config))
    toc = {"format": "jb-book", "root": "book/index", "chapters": [{"file": "book/04_made"}]}
    (copy / "_toc.yml").write_text(yaml.safe_dump(toc))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(chapters.ROOT), os.environ.get("PYTHONPATH", "")])}
    for command in ([sys.executable, "book/tools/execute.py", "--first-cell"], [jupyter_book(), "build", "."]):
        run = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
    return copy


def jupyter_book():
    return str(Path(sys.executable).with_name("jupyter-book"))


@pytest.mark.processes
def test_buttons_lead_to_the_notebook(launchable):
    html = launchable / "_build" / "html" / "book"
    links = hrefs((html / "04_made.html").read_text().replace("&amp;", "&"))
    assert "https://mybinder.org/v2/gh/someone/a-book/stable?urlpath=lab/tree/book/04_made.ipynb" in links
    assert "https://colab.research.google.com/github/someone/a-book/blob/stable/book/04_made.ipynb" in links
    (hub,) = [link for link in links if link.startswith("https://hub.example.org/hub/user-redirect/git-pull?")]
    assert "urlpath=lab/tree/a-book/book/04_made.ipynb" in hub
    assert "branch=stable" in hub
    assert not [link for link in hrefs((html / "index.html").read_text()) if "mybinder" in link or "colab" in link]


@pytest.mark.processes
def test_first_cell_is_all_that_changes(launchable):
    before, after = (chapters.read(root / "book" / "04_made.ipynb") for root in (chapters.ROOT, launchable))
    first = chapters.code_cells(after)[0]
    assert f"git clone --quiet --depth 1 --branch stable {URL} made-book" in first.source
    assert [cell for cell in before.cells if cell.id != chapters.code_cells(before)[0].id] == [
        cell for cell in after.cells if cell.id != first.id
    ]
    assert first.outputs == []
    assert checks.installs_made(after, 4) == []


def git(folder, *arguments):
    identity = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.processes
def test_a_chapter_opened_alone_fetches_the_book(tmp_path):
    """Run the first lines as Colab would, twice, as after a restart; the repository is a local one."""
    (tmp_path / "origin" / "book" / "results").mkdir(parents=True)
    (tmp_path / "origin" / "book" / "results" / "one.json").write_text("{}")
    git(tmp_path / "origin", "init", "--initial-branch", "stable")
    git(tmp_path / "origin", "add", ".")
    git(tmp_path / "origin", "commit", "--message", "one")
    source = chapters.code_cells(chapters.read(chapters.PATHS[0]))[0].source
    opening = launch.OPENING.match(launch.with_opening(source, (tmp_path / "origin").as_uri(), "stable"))[0]
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "chapter.ipy").write_text(opening + '\nprint(os.listdir("results"))\n')
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
    environment["PYTHONPATH"] = os.pathsep.join([str(chapters.ROOT), os.environ.get("PYTHONPATH", "")])
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-m", "IPython", "--colors=NoColor", "chapter.ipy"],
            cwd=alone,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.stdout == "['one.json']\n", run.stdout + run.stderr
