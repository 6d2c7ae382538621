"""The landing page and the glossary keep up with the chapters."""

import re

import chapters
import pages
import pytest

GLOSSARY = (chapters.BOOK / "glossary.md").read_text()


@pytest.mark.parametrize(("page", "write"), [(pages.INDEX, pages.table), (pages.README, pages.answers)])
def test_tables_of_chapters_are_up_to_date(page, write):
    text = page.read_text()
    assert all(path.name in text for path in chapters.PATHS)
    assert pages.with_table(text, write(chapters.PATHS)) == text, "run `python book/tools/pages.py`"


def test_table_follows_the_chapters(tmp_path):
    path = tmp_path / chapters.PATHS[0].name
    changed = chapters.PATHS[0].read_text().replace("**Run time.** About ", "**Run time.** About 1")
    path.write_text(changed.replace('"# Vanilla', '"# Plain'))
    assert "Plain autoencoders" in pages.table([path])
    assert "Plain autoencoders" in pages.answers([path])
    assert pages.table([path]) != pages.table(chapters.PATHS[:1])


def test_a_chapter_without_a_question_is_noticed(tmp_path):
    path = tmp_path / "99_more.ipynb"
    path.write_bytes(chapters.PATHS[0].read_bytes())
    with pytest.raises(ValueError, match="give chapter 99 a question"):
        pages.table([path])


def entries(text):
    """Every term of a glossary with its explanation."""
    body = re.search(r"```\{glossary\}\n(.*?)\n```", text, re.S)[1]
    return [entry.partition("\n") for entry in body.split("\n\n")]


def test_glossary_is_in_alphabetical_order():
    terms = [term.lower() for term, _, _ in entries(GLOSSARY)]
    assert len(terms) > 40
    assert terms == sorted(set(terms))


def stems(term):
    """The long words of a term (a short term itself), cut so that they match their other forms.

    >>> stems("Order-agnostic training")
    ['order', 'agnos', 'train']
    """
    words = re.findall(r"\w+", term.lower())
    return [word[:5] for word in words if len(word) > 3] or words


def test_every_term_is_used_where_the_glossary_says():
    """Its links lead to sections of chapters that contain the words of the term."""
    for term, _, explanation in entries(GLOSSARY):
        links = re.findall(r"\]\((\w+\.ipynb)#([\w-]+)\)", explanation)
        assert links, f"{term} leads nowhere"
        for file, anchor in links:
            found = chapters.sections(chapters.read(chapters.BOOK / file))
            sections = {chapters.slug(section.title): section.title + section.text for section in found}
            assert anchor in sections, f"{term}: {file} has no section {anchor}"
            missing = [stem for stem in stems(term) if stem not in sections[anchor].lower()]
            assert not missing, f"{term}: {missing} not in {file}#{anchor}"
