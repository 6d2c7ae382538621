"""Write the tables of chapters into the landing page and the README: `python book/tools/pages.py`.

Titles, reading times and run times come from the chapters; only questions and answers are written here. An answer that
is a verdict is that of the ledger, so that it is not stronger.
"""

import re
import sys

import chapters
from chapters import WORDS_PER_MINUTE
from claims import verdict
from results import reported

README = chapters.ROOT / "README.md"
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
    5: ("How are new images drawn?", f"One variable at a time. {verdict('sampling_time')}"),
    6: (
        f"Why did a blog post see {reported('keng_draft', direct=False)} turn into less than "
        f"{reported('keng_draft', direct=True)}?",
        verdict("bug"),
    ),
    7: ("Can one network know every order?", f"{verdict('any_order')} It then fills in whatever is missing."),
    8: ("Grey levels, real numbers, classes?", "The masks stay; only the meaning of the outputs changes."),
    9: (
        "Mixed columns, missing values, any question?",
        "Gaps are filled rightly if they depend only on full columns; to draw rows, fit again.",
    ),
    10: (
        "How would you notice a fault?",
        "With six small tests; seven files show what each finds, and what none does.",
    ),
    11: (
        "What became of the masks?",
        "Convolutions, attention, flows and masked diffusion rest on the same comparison.",
    ),
    12: ("How good is it?", "Our numbers beside reported ones, and [a ledger](ledger.md) of every claim."),
}

BLOCK = re.compile(r"(<!-- chapters: .*? -->\n).*?(<!-- end of chapters -->)", re.S)


def answers(paths):
    """The question and the answer of every chapter, in Markdown, for the README."""
    lines = ["| chapter | the question | the answer in a line |", "|---|---|---|"]
    for path in paths:
        question, answer = question_and_answer(path)
        title = chapters.title(chapters.prose(chapters.read(path)))
        link = f"[{chapters.number_of(path)} {title}](book/{path.name})"
        lines.append(f"| {link} | {question} | {answer.replace('(ledger.md)', '(book/ledger.md)')} |")
    return "\n".join(lines)


def question_and_answer(path):
    """What a chapter asks, and its answer in a line."""
    number = chapters.number_of(path)
    if number not in CHAPTERS:
        raise ValueError(f"{path.name}: give chapter {number} a question and an answer in book/tools/pages.py")
    return CHAPTERS[number]


def table(paths):
    """The table of chapters, in Markdown, and a line about all of them together."""
    lines = ["| chapter | the question | the answer in a line | read | run |", "|---|---|---|---|---|"]
    minutes, seconds = [], []
    for path in paths:
        number, text = chapters.number_of(path), chapters.prose(chapters.read(path))
        question, answer = question_and_answer(path)
        minutes.append(chapters.reading_minutes(chapters.read(path)))
        seconds.append(chapters.run_time(text)[0])
        link = f"[{number}. {chapters.title(text)}]({path.name})"
        lines.append(f"| {link} | {question} | {answer} | {minutes[-1]} min | {seconds[-1]} s |")
    together = f"Together: {sum(minutes)} minutes of prose at {WORDS_PER_MINUTE} words a minute, formulas and code not"
    together += f" counted, and {round(sum(seconds) / 60)} minutes of computing on two cores."
    return "\n".join([*lines, "", together])


def with_table(text, written):
    """The text of a page with its table brought up to date."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{written}\n\n{match[2]}", text)


def main():
    for page, write in {INDEX: table, README: answers}.items():
        page.write_text(with_table(page.read_text(), write(chapters.PATHS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
