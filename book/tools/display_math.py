r"""Sphinx extension: pass every display equation to MathJax as it was written.

Sphinx wraps an equation that has several lines in a ``split`` environment, where MathJax refuses ``\tag``.
"""

from docutils import nodes


def keep_as_written(app, doctree):
    for node in doctree.findall(nodes.math_block):
        if not node.get("nowrap"):
            node["nowrap"] = True
            equation = node.astext().strip()
            node.children = [nodes.Text(rf"\[{equation}\]")]


def setup(app):
    app.connect("doctree-read", keep_as_written)
    return {"parallel_read_safe": True}
