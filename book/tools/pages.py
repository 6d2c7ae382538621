"""Write the table of chapters into the landing page: `python book/tools/pages.py`.

Titles, reading times and run times come from the chapters; only questions and answers are written here.
"""

import re
import sys

import chapters
from chapters import WORDS_PER_MINUTE
from results import reported

INDEX = chapters.BOOK / "index.md"

# A chapter's question and its answer in a line, by number. A new chapter needs a line here.
CHAPTERS = {
    1: ("What does copying teach?", "Nothing, unless copying is made hard."),
    2: ("Where do loss functions come from?", "From an assumed distribution; some constants get lost on the way."),
    3: (
        "Is an autoencoder a distribution?",
        "No, its scores do not sum to one. Seeing only earlier variables repairs that.",
    ),
    4: ("How can one network have that property?", "Number the units and compare: `>=` inside, `>` at the output."),
    5: ("How are new images drawn?", "One variable at a time, for the price of one forward pass."),
    6: (
        f"Why did a blog post see {reported('keng_draft', direct=False)} turn into less than "
        f"{reported('keng_draft', direct=True)}?",
        "Three slips that the usual checks do not notice.",
    ),
    7: ("Can one network know every order?", "Yes, at a price; it then fills in whatever is missing."),
    8: ("Grey levels, real numbers, tables, classes?", "The masks stay; only the meaning of the outputs changes."),
    9: ("How good is it?", "Our numbers beside reported ones, and [a ledger](ledger.md) of every claim."),
}

BLOCK = re.compile(r"(<!-- chapters: .*? -->\n).*?(<!-- end of chapters -->)", re.S)


def table(paths):
    """The table of chapters, in Markdown, and a line about all of them together."""
    lines = ["| chapter | the question | the answer in a line | read | run |", "|---|---|---|---|---|"]
    minutes, seconds = [], []
    for path in paths:
        number, text = chapters.number_of(path), chapters.prose(chapters.read(path))
        if number not in CHAPTERS:
            raise ValueError(f"{path.name}: give chapter {number} a question and an answer in book/tools/pages.py")
        minutes.append(chapters.reading_minutes(text))
        seconds.append(chapters.run_time(text)[0])
        question, answer = CHAPTERS[number]
        link = f"[{number}. {chapters.title(text)}]({path.name})"
        lines.append(f"| {link} | {question} | {answer} | {minutes[-1]} min | {seconds[-1]} s |")
    together = f"Together: {sum(minutes)} minutes of prose at {WORDS_PER_MINUTE} words a minute, formulas and code not"
    together += f" counted, and {round(sum(seconds) / 60)} minutes of computing on two cores."
    return "\n".join([*lines, "", together])


def with_table(text, paths):
    """The text of the landing page with the table brought up to date."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{table(paths)}\n\n{match[2]}", text)


def main():
    INDEX.write_text(with_table(INDEX.read_text(), chapters.PATHS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
