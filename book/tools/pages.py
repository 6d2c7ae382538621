"""Write the lists of chapters into the landing page and the README: `python book/tools/pages.py`.

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


# What the chapters of a part have in common: its title, its first chapter, three sentences.
PARTS = [
    (
        "Foundations",
        1,
        "From an autoencoder to a distribution in five steps. Each chapter ends with the question that the next one "
        "answers. Read them in order.",
    ),
    (
        "Further",
        6,
        "What the idea can do, and how far it carries. Chapters 6 and 7 look closer at orders and masks, 8 and 9 leave "
        "the world of zeros and ones, 10 and 11 look at other people's models. They can be read in any order.",
    ),
]


def table(paths):
    """The chapters part by part, in Markdown, and a line about all of them together."""
    parts, lines, minutes, seconds = {first: (title, words) for title, first, words in PARTS}, [], [], []
    for path in paths:
        nb, number = chapters.read(path), chapters.number_of(path)
        if number in parts:
            title, words = parts[number]
            lines += [f"### {title}", "", words, ""]
        text, (question, answer) = chapters.prose(nb), question_and_answer(path)
        minutes.append(chapters.reading_minutes(nb))
        seconds.append(chapters.run_time(text)[0])
        link = f"**[{number}. {chapters.title(text)}]({path.name})**"
        lines += [f"{link} *{question}* {answer} ({minutes[-1]} minutes to read, {seconds[-1]} seconds to run)", ""]
    together = f"Together: about {round(sum(minutes) / 60, 1):g} hours to read and {round(sum(seconds) / 60)} minutes"
    together += " to run, on two cores. Running is measured. Reading is estimated: "
    together += f"{WORDS_PER_MINUTE} words a minute, three quarters of a minute for an equation, a figure or a table,"
    together += " four seconds for a line of code in view. Exercises come on top."
    return "\n".join([*lines, together])


def with_table(text, written):
    """The text of a page with its table brought up to date."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{written}\n\n{match[2]}", text)


def main():
    for page, write in {INDEX: table, README: answers}.items():
        page.write_text(with_table(page.read_text(), write(chapters.PATHS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
