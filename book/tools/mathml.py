r"""Sphinx extension: formulas as MathML, which readers of EPUB files typeset without a script.

Set `html_math_renderer: mathml`. The number of an equation, its ``\tag``, stands beside it.
"""

import re

from latex2mathml.converter import convert

DELIMITERS = re.compile(r"^\\\[(.*)\\\]$", re.S)
TAG = re.compile(r"\\tag\{([^}]*)\}")


def to_mathml(latex, display="inline"):
    r"""A formula as MathML.

    >>> to_mathml("x", display="block").startswith('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">')
    True
    """
    return convert(latex, display=display)


def inline(translator, node):
    translator.body.append(to_mathml(node.astext().strip()))


def block(translator, node):
    latex = DELIMITERS.sub(r"\1", node.astext().strip())
    numbers = "".join(f'<span class="eqno">({number})</span>' for number in TAG.findall(latex))
    formula = to_mathml(TAG.sub("", latex).strip(), display="block")
    translator.body.append(translator.starttag(node, "div", CLASS="math") + numbers + formula + "</div>\n")


def skip(translator, node):
    pass


def visit_inline(translator, node):
    inline(translator, node)
    from docutils.nodes import SkipNode

    raise SkipNode


def visit_block(translator, node):
    block(translator, node)
    from docutils.nodes import SkipNode

    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True}
