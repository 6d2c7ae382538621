"""Sphinx extension: what the web page adds to the chapters' plain Markdown.

An exercise's solution folds whole, text and code and output. A paragraph that begins with the number of a figure is its
caption. Equations, figures, tables and exercises have anchors, and where prose names one, it is a link.
"""

import re

from chapters import NUMBERS, TAG
from docutils import nodes

KINDS = {"Eq": "equation", "Fi": "figure", "Ta": "table", "Ex": "exercise"}
NAMED = re.compile(rf"\b(Eqs?\.|Equations?|Exercises?|Figures?|Tables?)\s+{NUMBERS}")
START = re.compile(r"(Figure|Exercise) (\d+|A)\.(\d+)\b")
CAPTION = re.compile(r'<table class="results">(?=\n<caption>Table (\d+)\.(\d+)\.)')
PLAIN = (nodes.reference, nodes.literal, nodes.title, nodes.math, nodes.math_block, nodes.raw, nodes.literal_block)


def anchor(kind, chapter, number):
    """
    >>> anchor("Eqs.", 4, 2)
    'equation-4-2'
    """
    return f"{KINDS[kind[:2]]}-{chapter}-{number}"


def fold_solutions(doctree):
    """Move the end of a solution's fold behind the cells tagged `solution` that follow it."""
    for end in [node for node in doctree.findall(nodes.raw) if node.astext().strip() == "</details>"]:
        siblings, place = end.parent.children, end.parent.index(end)
        behind = place + 1
        while behind < len(siblings) and "tag_solution" in siblings[behind].get("classes", []):
            behind += 1
        end.parent.insert(behind, end.deepcopy())
        end.parent.pop(place)


def add_anchors(doctree):
    """Give what has a number an anchor; yields them."""
    for node in doctree.findall(nodes.math_block):
        for tag in TAG.findall(node.astext())[:1]:
            node["ids"].append(anchor("Eq.", *tag.split(".")))
            yield node["ids"][-1]
    for node in doctree.findall(lambda n: isinstance(n, (nodes.paragraph, nodes.title))):
        found = START.match(node.astext())
        first = next((child for child in node.children if child.astext()), None)
        if found and (isinstance(node, nodes.title) or isinstance(first, nodes.strong)):
            node["ids"].append(anchor(*found.groups()))
            node["classes"] += ["caption"] if found[1] == "Figure" else []
            yield node["ids"][-1]
    for node in doctree.findall(nodes.raw):
        if found := CAPTION.search(node.astext()):
            ids = anchor("Table", *found.groups())
            node[:] = [nodes.Text(CAPTION.sub(f'<table class="results" id="{ids}">', node.astext(), count=1))]
            yield ids


def read(app, doctree):
    fold_solutions(doctree)
    places = app.env.__dict__.setdefault("numbered", {})
    places.update({ids: app.env.docname for ids in add_anchors(doctree)})


def link(app, doctree, docname):
    """Turn every "Eq. 4.2" of the prose into a link."""
    for text in [node for node in doctree.findall(nodes.Text) if not _inside(node)]:
        pieces, last = [], 0
        for named in NAMED.finditer(text):
            for n, number in enumerate(re.finditer(r"(\d+)\.(\d+)", named[2])):
                ids = anchor(named[1], *number.groups())
                page = app.env.numbered.get(ids)
                if not page or ids in _own(text):
                    continue
                start = named.start() if n == 0 else named.start(2) + number.start()
                stop = named.start(2) + number.end()
                uri = "" if page == docname else app.builder.get_relative_uri(docname, page)
                reference = nodes.reference("", text[start:stop], refuri=f"{uri}#{ids}", internal=True)
                pieces += [nodes.Text(text[last:start]), reference]
                last = stop
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text[last:])])


def _inside(node):
    """Whether a piece of text stands in what takes no links."""
    while node := node.parent:
        if isinstance(node, PLAIN):
            return True
    return False


def _own(node):
    """The anchors of the paragraph that a piece of text stands in."""
    found = []
    while node := node.parent:
        found += node.get("ids", []) if isinstance(node, nodes.paragraph) else []
    return found


def setup(app):
    app.connect("doctree-read", read)
    app.connect("doctree-resolved", link)
    return {"parallel_read_safe": False}
