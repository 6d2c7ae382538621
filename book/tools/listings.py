"""Sphinx extension: a line of code that is wider than its box goes on below, further in, as editors show it.

Code is printed as it is in the files, up to 120 columns wide, and pages are read on telephones. Every line becomes an
element that knows its own indent; `book.css` does the rest. Copied text stays what it was.
"""

import re

LISTING = re.compile(r'(<div class="highlight"><pre>)(.*?)(</pre>)', re.S)


def line_element(line):
    """One line of highlighted code, with its newline.

    >>> line_element('  <span class="k">return</span> x\\n')
    '<span class="line" style="--indent: 2ch"><span class="indent">  </span><span class="k">return</span> x\\n</span>'
    """
    tags, spaces, rest = re.fullmatch(r"((?:<[^>]*>)*)( *)(.*)", line, re.S).groups()
    indent = f'<span class="indent">{spaces}</span>' if spaces else ""
    return f'<span class="line" style="--indent: {len(spaces)}ch">{tags}{indent}{rest}</span>'


def with_lines(body):
    """The body of a page with each line of each listing in an element of its own.

    >>> with_lines('<div class="highlight"><pre><span></span>a\\nb\\n</pre></div>').count('class="line"')
    2
    """
    lines = lambda code: "".join(map(line_element, code.splitlines(keepends=True)))
    return LISTING.sub(lambda found: found[1] + lines(found[2]) + found[3], body)


def divide(app, pagename, templatename, context, doctree):
    if doctree is not None and "body" in context:
        context["body"] = with_lines(context["body"])


def setup(app):
    app.connect("html-page-context", divide)
    return {"parallel_read_safe": True}
