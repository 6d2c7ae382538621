"""Long lines of code go on below on a wide screen, and remain what they were."""

import html
import re

import chapters
import listings
import pytest
from conftest import WIDE

PAGE = "book/appendix_package.html"
SCROLLING = """() => [...document.querySelectorAll('.bd-article pre')]
  .filter(pre => pre.checkVisibility() && pre.scrollWidth > pre.clientWidth).map(pre => pre.innerText.slice(0, 60))"""


def text(body):
    return html.unescape(re.sub(r"<[^>]*>", "", body))


def test_every_line_knows_its_indent_and_keeps_its_text():
    code = '<span></span><span class="k">if</span> a <span class="o">&lt;</span> b:\n\n    <span class="n">c</span>\n'
    body = f'<p>x\ny</p><div class="highlight"><pre>{code}</pre></div><pre>\n  z\n</pre>'
    divided = listings.with_lines(body)
    assert text(divided) == text(body)
    assert re.findall(r'class="line" style="--indent: (\d+)ch"', divided) == ["0", "0", "4"]
    assert divided.endswith("<pre>\n  z\n</pre>")


@pytest.mark.browser
def test_no_listing_scrolls_and_all_are_whole(visit, base):
    page, complaints = visit(f"{base['file']}/{PAGE}", WIDE)
    assert page.evaluate(SCROLLING) == []
    shown = page.evaluate(
        "() => [...document.querySelectorAll('.bd-article .cell_output pre')].map(p => p.textContent)"
    )
    cells = chapters.code_cells(chapters.read(chapters.BOOK / "appendix_package.ipynb"))
    printed = [
        block
        for cell in cells
        for printed in chapters.texts(cell)
        for block in re.findall(r"^```python\n(.*?)^```", printed, re.M | re.S)
    ]
    assert [code.strip() for code in shown] == [code.strip() for code in printed]
    assert not complaints, "\n" + "\n".join(complaints)
