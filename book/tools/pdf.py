"""Print the whole built book into one PDF: `python book/tools/pdf.py [file]`, after `build.py`; needs Chromium.

Each page of the table of contents is printed by the browser. The parts are joined, with page numbers, an outline, and
links that stay inside the document.
"""

import io
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from build import HTML, ROOT, entries
from chromium import FLAGS, MISSING, TYPESET, find
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject

PAPER = {"format": "A4", "margin": {"top": "18mm", "bottom": "20mm", "left": "18mm", "right": "18mm"}}
PAPER_HEIGHT = 842  # points
# What is folded or not loaded yet on the screen is open and complete on paper; paper is white.
PREPARE = """async () => {
  document.documentElement.dataset.theme = 'light'
  document.querySelectorAll('details').forEach(d => { d.open = true })
  document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })
  await Promise.all([...document.images].map(i => i.decode().catch(() => {})))
}"""
# The text of every heading, without the link beside it. (Chromium's own outline loses spaces and repeats words.)
HEADINGS = """() => [...document.querySelectorAll('article :is(h1, h2, h3, h4, h5, h6)')]
.filter(h => h.checkVisibility()).map(h => {
  const copy = h.cloneNode(true)
  copy.querySelectorAll('.headerlink').forEach(link => link.remove())
  return [Number(h.tagName[1]), copy.textContent.trim()]
})"""


def print_pages(browser):
    """The file, the headings with their levels, and the PDF of every page, in turn."""
    page = browser.new_page(color_scheme="light")
    page.emulate_media(media="print")
    for entry in entries():
        path = HTML / f"{entry}.html"
        page.goto(path.as_uri())
        page.evaluate(TYPESET)
        page.evaluate(PREPARE)
        content = page.pdf(**PAPER, print_background=True, outline=True, tagged=True)
        yield path, page.evaluate(HEADINGS), PdfReader(io.BytesIO(content))
    page.close()


def page_numbers(browser, count):
    """A PDF of empty pages that bear nothing but their numbers."""
    page = browser.new_page()
    page.set_content("<style>div + div { break-before: page }</style>" + "<div>&nbsp;</div>" * count)
    footer = "<p style='font: 9px sans-serif; color: #555; width: 100%; text-align: center'><span class=pageNumber></p>"
    numbers = page.pdf(**PAPER, display_header_footer=True, header_template="<p></p>", footer_template=footer)
    page.close()
    return PdfReader(io.BytesIO(numbers))


def destinations(part, path, first):
    """Where every anchor of a page ends up: {(page, anchor): (sheet, height)}; `first` is the page's first sheet."""
    places = {(path, ""): (first, 0)}
    for name, place in part.named_destinations.items():
        places[path, unquote(name).lstrip("/")] = (first + part.get_destination_page_number(place), place.top)
    return places


def keep_links_inside(writer, paths, places):
    """Turn links to pages of the book into jumps, and drop links to other files of this machine."""
    for sheet, path in zip(writer.pages, paths, strict=True):
        kept = ArrayObject()
        for reference in sheet.get("/Annots", ()):
            link = reference.get_object()
            address = urlsplit(link.get("/A", {}).get("/URI", ""))
            if address.scheme == "file" or "/Dest" in link:
                target = Path(unquote(address.path)) if address.scheme else path
                anchor = unquote(address.fragment) if address.scheme else unquote(link["/Dest"]).lstrip("/")
                place = places.get((target, anchor)) or places.get((target, ""))
                if place is None:
                    continue
                link.pop("/A", None)
                goal = writer.pages[place[0]].indirect_reference
                top = FloatObject(place[1] or PAPER_HEIGHT)
                link[NameObject("/Dest")] = ArrayObject([goal, NameObject("/XYZ"), NullObject(), top, NullObject()])
            kept.append(reference)
        if kept:
            sheet[NameObject("/Annots")] = kept


def flat(outline):
    """The items of an outline, whatever their level."""
    for item in outline:
        yield from flat(item) if isinstance(item, list) else [item]


def make(browser, target):
    """Write the PDF of all pages; returns the number of sheets."""
    writer, paths, places = PdfWriter(), [], {}
    for path, headings, part in print_pages(browser):
        first = len(writer.pages)
        places |= destinations(part, path, first)
        paths += [path] * len(part.pages)
        writer.append(part, import_outline=False)
        top = writer.add_outline_item(title=headings[0][1], page_number=first)
        for (level, text), item in zip(headings, flat(part.outline), strict=True):
            if level == 2:
                sheet = first + part.get_destination_page_number(item)
                writer.add_outline_item(title=text, page_number=sheet, parent=top)
    keep_links_inside(writer, paths, places)
    numbers = page_numbers(browser, len(writer.pages)).pages
    for sheet, number in list(zip(writer.pages, numbers, strict=True))[1:]:  # the cover has none
        sheet.merge_page(number)
    writer.add_metadata({"/Title": yaml.safe_load((ROOT / "_config.yml").read_text())["title"]})
    writer.compress_identical_objects()
    writer.write(target)
    return len(writer.pages)


def main(arguments):
    target = Path(*arguments) if arguments else ROOT / "_build" / "made.pdf"
    with sync_playwright() as playwright:
        path = find(playwright)
        if path is None:
            print(MISSING)
            return 1
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        print(f"{make(browser, target)} pages:\n\n    {target}\n")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
