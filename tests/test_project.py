"""The project's files fit together."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import made

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def wanted(*extras):
    """The versions that the package, and its extras, ask for, by name."""
    project = PYPROJECT["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return {Requirement(line).name.lower(): Requirement(line).specifier for line in lines}


def pins(file):
    lines = [line for line in (ROOT / file).read_text().splitlines() if "==" in line]
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines)}


def test_every_dependency_is_pinned():
    """An unpinned one can send pip on a search through old versions that takes longer than everything else."""
    assert wanted("dev", "benchmark").keys() - pins("constraints.txt").keys() == set()


def test_the_oldest_versions_are_those_that_the_package_allows():
    oldest = {name: Version(version) for name, version in pins("constraints-oldest.txt").items()}
    for name, allowed in wanted().items():
        assert [(bound.operator, Version(bound.version)) for bound in allowed] == [(">=", oldest[name])]


def test_there_is_one_version():
    """In made, from where pyproject.toml takes it, in CITATION.cff and in the changelog; a date only when released."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    heading = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading, "the changelog opens with a heading like '## 1.2.3 (2030-12-31)' or '## 1.2.3 (unreleased)'"
    version, date = heading.groups()
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "made.__version__"}
    assert made.__version__ == cited["version"] == version
    assert str(cited.get("date-released", "unreleased")) == date
