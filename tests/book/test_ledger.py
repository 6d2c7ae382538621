"""The ledger is complete, and says what the result files say."""

import chapters
import claims
import ledger
import pytest


def headings(chapter):
    return {title for _, title in chapters.headings(chapters.prose(chapters.read(chapters.path_of(chapter))))}


def test_the_page_is_what_its_script_writes():
    assert ledger.PAGE.read_text() == ledger.page(), "run: python book/tools/ledger.py"


def test_every_equation_is_listed_once_with_its_check():
    book = "\n\n".join(chapters.prose(chapters.read(path)) for path in chapters.PATHS)
    tags = [tag for found in chapters.equation_tags(book) for tag in found]
    listed = list(ledger.equations())
    assert [tag for tag, *_ in listed] == tags
    for tag, chapter, _, number in listed:
        cells = chapters.code_cells(chapters.read(chapters.path_of(chapter)))
        assert tag in cells[number - 1].source
        assert cells[number - 1].execution_count == number


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.text[:40])
def test_every_claim_leads_somewhere(claim):
    assert claim.heading in headings(claim.chapter)


@pytest.mark.parametrize(
    "note",
    ["direct connection", "bug", "indexes", "random order", "learning phase", "custom layer", "below 90", "99 nats"],
)
def test_every_note_of_the_post_is_taken_up(note):
    assert any(claim.source == claims.POST and note in claim.text.lower() for claim in claims.CLAIMS)


def test_every_network_that_is_shipped_has_its_card():
    assert {name for name, *_ in ledger.networks()} == {
        path.name for path in (chapters.BOOK / "results").glob("*.safetensors")
    }


def test_a_verdict_that_does_not_hold_is_refused(monkeypatch):
    wrong = claims.CLAIMS[0]._replace(measure=lambda: ("nothing", False))
    monkeypatch.setattr(ledger, "CLAIMS", [wrong])
    with pytest.raises(ValueError, match="does not hold"):
        ledger.page()
