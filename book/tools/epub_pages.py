r"""Sphinx extension for the EPUB: formulas as MathML, no scripts, pages that a validator accepts.

MathML is typeset by the reading system itself. The number of an equation, its ``\tag``, stands beside it.
"""

import html
import re
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.builders.epub3 import Epub3Builder

DELIMITERS = re.compile(r"^\\\[(.*)\\\]$", re.S)
TAG = re.compile(r"\\tag\{([^}]*)\}")
ALIGNED = re.compile(r"(\\(?:begin|end))\{aligned\}")
# The label of folded code: MyST-NB writes two paragraphs, one for each state, where HTML allows none.
LABEL = re.compile(r"<summary[^>]*>\s*<p class=\"collapsed[^>]*>(.*?)</p>\s*<p class=\"expanded.*?</summary>", re.S)

ABSENT = re.compile(r"<link [^>]*mystnb[^>]*>\s*")  # a style sheet that MyST-NB writes for web pages alone


def to_mathml(latex, display="inline"):
    r"""A formula as MathML.

    >>> to_mathml(r"\begin{aligned} a &= b \\ &< c \end{aligned}", "block").count("<mtr>")
    2
    >>> "&lt;" in to_mathml("a < b") or "&#x0003C;" in to_mathml("a < b")
    True
    """
    return convert(ALIGNED.sub(r"\1{align*}", latex.strip()), display=display)  # it knows no `aligned`


def inline(translator, node):
    translator.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def block(translator, node):
    latex = DELIMITERS.sub(r"\1", node.astext().strip())
    numbers = "".join(f'<span class="eqno">({html.escape(number)})</span>' for number in TAG.findall(latex))
    formula = to_mathml(TAG.sub("", latex), "block")
    translator.body.append(f"{translator.starttag(node, 'div', CLASS='math')}{numbers}{formula}</div>\n")
    raise nodes.SkipNode


def keep_words(app, doctree):
    """Keep of a link to a page that is left out the words alone."""
    for link in list(doctree.findall(addnodes.pending_xref)):
        if link.get("refdomain") == "doc" and link["reftarget"] not in app.env.found_docs:
            link.replace_self(link.children)


class Builder(Epub3Builder):
    """Sphinx's own builder, with pages and their list corrected."""

    def build_content(self):
        pages = {path.relative_to(self.outdir).as_posix(): path for path in Path(self.outdir).rglob("*.xhtml")}
        for path in pages.values():
            text = LABEL.sub(r"<summary>\1</summary>", path.read_text("utf8"))
            path.write_text(ABSENT.sub("", text), "utf8")
        super().build_content()
        listing = Path(self.outdir, "content.opf")
        text = listing.read_text("utf8")
        for name, path in pages.items():
            if "<math " in path.read_text("utf8"):
                text = text.replace(f'href="{name}" ', f'href="{name}" properties="mathml" ')
        listing.write_text(text, "utf8")


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_builder(Builder, override=True)
    app.connect("doctree-read", keep_words)
    return {"parallel_read_safe": True}
