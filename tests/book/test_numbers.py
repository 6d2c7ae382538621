"""Index, README, ledger, chapters and docstrings agree, in numbers and in strength.

Numbers that come from result files are compared with what the cells of the chapter print; those that come from the
package are counted. A number is found by the words around it, in whatever text it stands.
"""

import ast
import json
import re

import chapters
import claims
import pages
import pytest
import results

import made

SPEED = chapters.BOOK / "appendix_speed.ipynb"
NOTEBOOKS = [*chapters.PATHS, SPEED]  # those with numbers that are measured
WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
WORDS += [
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]


def docstrings():
    """All docstrings of the package, by file."""
    for path in sorted((chapters.ROOT / "made").rglob("*.py")):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef
        found = [ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
        yield path.name, "\n\n".join(filter(None, found))


def all_texts():
    """Everything a reader reads, by where it stands: pages, prose and outputs of chapters, docstrings."""
    for path in [*chapters.BOOK.glob("*.md"), *(chapters.ROOT / name for name in ("README.md", "CHANGELOG.md"))]:
        yield path.name, path.read_text()
    for path in NOTEBOOKS:
        nb = chapters.read(path)
        yield path.name, chapters.prose(nb)
        yield f"outputs of {path.name}", outputs(nb)
    yield from docstrings()


def outputs(nb):
    """All that the cells of a chapter print."""
    return "\n".join(text for cell in chapters.code_cells(nb) for text in chapters.texts(cell))


TEXTS = dict(all_texts())


# ---- counted -------------------------------------------------------------------------------------------------------


def fields(document, name):
    """The values that a document has under a name, at any depth."""
    if isinstance(document, dict):
        yield from (value for key, value in document.items() if key == name)
    for part in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from fields(part, name)


def counts_of_parameters():
    """What is counted by ``count_parameters``, here or in a result file; and what others report."""
    files = [path for path in results.RESULTS.glob("*.json") if path.stem != "reported"]
    yield from (count for path in files for count in fields(json.loads(path.read_text()), "parameters"))
    yield made.diagnostics.count_parameters(made.MADE(64, (), direct=False))
    yield results.reported("keng_notebook", metric="parameters")


def coverage(degrees):
    """What 64 units reach for 784 variables, in percent, a mean of 20 draws."""
    drawn = [made.Connectivity.create(784, (64,), degrees=degrees, seed=seed).coverage() for seed in range(20)]
    return f"{100 * sum(drawn) / 20:.1f}"


def how_many(part, names):
    """How many names have a part, in words."""
    return WORDS[sum(part in name for name in names)]


def data_sets(source):
    """How many data sets a source has, in words."""
    return how_many(source, [data_set.source for data_set in made.data.DATASETS.values()])


HEADINGS_1 = [title for _, title in chapters.headings(TEXTS[chapters.PATHS[0].name])]
N = rf"({'|'.join(WORDS)})"
# What is counted, the words that tell it, with the number in brackets, and what it may be.
COUNTED = {
    "parameters": (
        r"(\d[\d,]{3,}) (?:parameters|weights and biases)\b",
        {form.format(n) for n in counts_of_parameters() for form in ("{:,}", "{}")},
    ),
    "coverage of random degrees": (
        r"64 units(?: for 784 variables reach|, random +coverage) +([\d.]+)%",
        {coverage("random")},
    ),
    "coverage of even degrees": (r"(?:evenly spread|64 units, even +coverage) +([\d.]+)%", {coverage("even")}),
    "cures": (rf"\b{N} ways not to learn the identity|prevent that in {N} ways", {how_many("cure:", HEADINGS_1)}),
    "proofs": (
        rf"\b{N} (?:proofs|ways to (?:prove it|find out who sees whom))",
        {how_many("_dependencies", made.diagnostics.__all__)},
    ),
    "passes that drawing takes": (
        r"(?:multiplications|work|price)\s+of\s+(about one|one or two|one|half a)\s+(?:forward\s+)?pass",
        {"one or two"},
    ),
    "sets of the paper": (rf"\bthe\s+{N}\s+(?:binary\s+)?sets\s+of\s+the\s+(?:MADE )?paper", {data_sets("MADE paper")}),
    "sets of DEBD": (rf"\bthe\s+{N}\s+(?:sets\s+)?of\s+the\s+(?:DEBD\s+)?collection", {data_sets("DEBD")}),
}


def other_numbers(words, allowed, texts):
    """Where these words stand with another number."""
    found = [
        (place, match[match.lastindex]) for place, text in texts.items() for match in re.finditer(words, text, re.I)
    ]
    return [(place, number) for place, number in found if number.lower() not in allowed]


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_counted_is_the_same_everywhere(name):
    words, allowed = COUNTED[name]
    assert any(re.search(words, text, re.I) for text in TEXTS.values()), "these words stand nowhere any more"
    assert other_numbers(words, allowed, TEXTS) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("parameters", "a network with 1,399,940 parameters"),  # masked ones counted
        ("coverage of random degrees", "64 units for 784 variables reach 96.6% of what is allowed"),  # one draw
        ("cures", "three ways not to learn the identity"),
        ("proofs", "and two proofs of it"),
        ("passes that drawing takes", "ancestral sampling at the price of one pass"),
        ("sets of DEBD", "the nineteen of the DEBD collection"),
    ],
)
def test_another_number_is_found(name, text):
    assert other_numbers(*COUNTED[name], {"planted": text}) != []


# ---- measured ------------------------------------------------------------------------------------------------------


def decimals(text):
    """All decimal fractions in a text, as they are written, without their signs."""
    return re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", text)


def agree(number, others):
    """Whether one of the others is the same number, as far as the one with fewer decimals goes."""
    places = lambda text: len(text.partition(".")[2])
    rounding = lambda other: 0 if places(other) == places(number) else 0.5 * 10 ** -min(places(other), places(number))
    return any(abs(float(number) - float(other)) <= rounding(other) + 1e-9 for other in others)


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.measure.__name__)
def test_the_chapter_prints_what_the_ledger_says(claim):
    measured, _ = claim.measure()
    printed = decimals(outputs(chapters.read(chapters.path_of(claim.chapter))))
    assert [number for number in decimals(measured) if not agree(number, printed)] == []


REFERENCE = re.compile(
    r"(?:\bEqs?\.|\b[Ee]xercises?|\b(?:Figure|Table)s?|\()\s*\(?\d+\.\d+(?:(?:,| and| to)\s*\d+\.\d+)*"
    r"|\]\([^)]*\)|\*\*Run time.*"
)


def typed(prose, printed):
    """Decimals in prose, references and the run time apart, that are not among those printed."""
    text = REFERENCE.sub("", chapters.without_math(chapters.without_code(prose)))
    return [number for number in decimals(text) if not agree(number, printed)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_prose_has_no_decimal_that_no_cell_has(path):
    nb = chapters.read(path)
    code = "\n".join(cell.source for cell in chapters.code_cells(nb))
    assert typed(chapters.prose(nb), decimals(f"{outputs(nb)}\n{code}")) == []


def test_a_decimal_that_is_typed_is_found():
    prose = (
        "By Eqs. 1.1 and 1.2 (and Exercise 4.4), Figure 1.3, Tables 1.2 and 1.4, $x = 0.3$, it saves 8.60 nats of"
        " 1234.5. **Run time.** 0.6 GB"
    )
    assert typed(prose, ["8.59"]) == ["8.60", "1234.5"]
    assert typed(prose, ["8.6", "1234.49"]) == []


@pytest.mark.parametrize(
    ("number", "others", "same"),
    [
        ("3.21", ["3.2"], True),
        ("3.21", ["3.21"], True),
        ("3.21", ["3.22"], False),
        ("3.2", ["3.24", "3.26"], True),
        ("3.21", ["3.1", "32.1"], False),
        ("3.25", ["3.2"], True),
    ],
)
def test_numbers_agree_as_far_as_they_go(number, others, same):
    assert agree(number, others) == same


# ---- strength ------------------------------------------------------------------------------------------------------

HEDGES = ["not settled", "not proven", "no difference"]


def section_of(claim):
    """The text of the section that a claim leads to, with what stands below its smaller headings."""
    found = chapters.sections(chapters.read(chapters.path_of(claim.chapter)))
    [start] = [k for k, section in enumerate(found) if section.title == claim.heading]
    text = found[start].text
    for section in found[start + 1 :]:
        if section.level <= found[start].level:
            break
        text += section.text
    return re.sub(r"\s+", " ", text.lower())


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.measure.__name__)
def test_a_verdict_is_as_strong_as_its_chapter(claim):
    """A reservation in one is a reservation in the other."""
    verdict, text = claim.verdict.lower(), section_of(claim)
    assert [hedge for hedge in HEDGES if hedge in verdict and hedge not in text] == []


def test_answers_that_are_verdicts_are_those_of_the_ledger():
    ledger = TEXTS["ledger.md"]
    for number, name in {5: "sampling_time", 6: "bug", 7: "any_order"}.items():
        for page in (TEXTS["index.md"], TEXTS["README.md"]):
            [row] = [line for line in page.splitlines() if re.match(rf"(\| |\*\*)\[{number}\b", line)]
            assert claims.verdict(name) in row
            assert claims.verdict(name) in ledger
            assert pages.CHAPTERS[number][1] in row
