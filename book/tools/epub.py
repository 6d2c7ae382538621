"""Make an EPUB of the book: `python book/tools/epub.py [folder]` writes made.epub into _build/epub.

It comes from the same pages by Sphinx's own builder. The interactive pages are left out, and no page has a script.
"""

import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import yaml
from build import ROOT

import made

NAME = "made"
LEFT_OUT = "Play"  # the part of the table of contents with the interactive pages
# What is for the web alone: buttons, forms, search, themes, and how the pages load.
WEB = {"launch", "lighter", "signposts", "sphinx_togglebutton", "sphinx_copybutton"}
WEB |= {"listings", "answers", "sphinx.ext.viewcode"}


def configuration():
    """`_config.yml` and `_toc.yml` as the EPUB needs them."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    sphinx, options = config["sphinx"], config["sphinx"]["config"]
    own = {name: str(ROOT / folder) for name, folder in sphinx["local_extensions"].items() if name not in WEB}
    sphinx["local_extensions"] = {"epub_pages": str(ROOT / "book" / "tools"), **own}
    options["extensions"] = ["epub_pages", *(name for name in options["extensions"] if name not in WEB)]
    for name in [name for name in options if name.startswith("html_")]:
        del options[name]
    config["html"] = {}
    authors = ", ".join(author["name"] for author in cited["authors"])
    identifier = f"made-{uuid.uuid5(uuid.NAMESPACE_URL, made.__version__)}"
    options |= {
        "html_math_renderer": "mathml",
        "html_static_path": [str(ROOT / "book" / "epub")],
        "html_css_files": [],
        "html_js_files": [],
        "html_domain_indices": False,
        "project": config["title"],
        "version": made.__version__,
        "epub_title": config["title"],
        "epub_author": authors,
        "epub_contributor": authors,
        "epub_publisher": authors,
        "epub_copyright": "Text and figures: CC BY 4.0. Code: MIT.",
        "epub_description": cited["title"],
        "epub_uid": identifier,  # Sphinx writes the one into the one list, and the other into the other
        "epub_identifier": identifier,
        "epub_basename": NAME,
        "epub_css_files": ["epub.css"],
        "epub_show_urls": "no",
        "epub_use_index": False,
        "epub_tocdepth": 3,
        "epub_tocdup": False,
        "epub_tocscope": "includehidden",
    }
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    toc["parts"] = [part for part in toc["parts"] if part["caption"] != LEFT_OUT]
    for part in toc["parts"]:
        part["titlesonly"] = not part.get("numbered")  # of chapters, list the sections, too
    return config, toc


def make(folder):
    """Write the EPUB below a folder; returns its path, or None where there was a warning."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in zip(("_config.yml", "_toc.yml"), configuration(), strict=True):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT, "-W", "--keep-going"]
    command += ["--builder", "custom", "--custom-builder", "epub", "--path-output", folder]
    command += ["--config", folder / "_config.yml", "--toc", folder / "_toc.yml"]
    path = folder / "_build" / "epub" / f"{NAME}.epub"
    code = subprocess.run(command, cwd=ROOT).returncode
    return None if code or not path.is_file() else path.rename(folder / path.name)


def main(arguments):
    path = make(Path(*arguments).resolve() if arguments else ROOT / "_build" / "epub")
    if path is None:
        return 1
    print(f"\nFor readers of electronic books:\n\n    {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
