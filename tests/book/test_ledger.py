"""The ledger is complete, and says what the result files say."""

import re

import checks
import ledger
import pytest


def headings(chapter):
    cells = checks.markdown_cells(checks.read(checks.ROOT / "book" / f"{chapter}.ipynb"))
    return {heading for cell in cells for heading in re.findall(r"^##+ (.*)$", cell.source, re.M)}


def test_the_page_is_what_its_script_writes():
    assert ledger.PAGE.read_text() == ledger.page(), "run: python book/tools/ledger.py"


def test_every_equation_is_listed_once_with_its_check():
    tags = [tag for path in checks.CHAPTERS for found in checks.equation_tags(checks.read(path)) for tag in found]
    listed = list(ledger.equations())
    assert [tag for tag, *_ in listed] == tags
    for tag, chapter, _, number in listed:
        cells = checks.code_cells(checks.read(checks.ROOT / "book" / f"{chapter}.ipynb"))
        assert tag in cells[number - 1].source
        assert cells[number - 1].execution_count == number


@pytest.mark.parametrize("claim", ledger.CLAIMS, ids=lambda claim: claim.text[:40])
def test_every_claim_leads_somewhere(claim):
    assert claim.heading in headings(claim.chapter)


@pytest.mark.parametrize(
    "note",
    ["direct connection", "bug", "indexes", "random order", "learning phase", "custom layer", "below 90", "99 nats"],
)
def test_every_note_of_the_post_is_taken_up(note):
    assert any(claim.source == ledger.POST and note in claim.text.lower() for claim in ledger.CLAIMS)


def test_every_network_that_is_shipped_has_its_card():
    assert {name for name, *_ in ledger.networks()} == {
        path.name for path in (checks.ROOT / "book" / "results").glob("*.safetensors")
    }


def test_a_verdict_that_does_not_hold_is_refused(monkeypatch):
    wrong = ledger.CLAIMS[0]._replace(holds=lambda: False)
    monkeypatch.setattr(ledger, "CLAIMS", [wrong])
    with pytest.raises(ValueError, match="does not hold"):
        ledger.page()
