"""Exercises that answer back: what a form takes for right is what the executed solution printed."""

import copy
import json
import re

import answers
import chapters
import pytest
import torch
from conftest import NARROW, OVERFLOW, watch

import made

in_browser = pytest.mark.browser
NOTEBOOKS = sorted(chapters.BOOK.glob("[0-9][0-9]_*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def notebook(name):
    return json.loads((chapters.BOOK / f"{name}.ipynb").read_text())


def forms_of(name):
    return [form for group in answers.forms(notebook(name)) for form in group]


FORMS = [(name, k) for name in NAMES for k in range(len(forms_of(name)))]


@pytest.mark.parametrize("name", NAMES)
def test_two_exercises_of_a_chapter_answer_back(name):
    assert sum(bool(group) for group in answers.forms(notebook(name))) >= 2


def test_every_kind_is_used():
    assert {forms_of(name)[k]["kind"] for name, k in FORMS} == set(answers.KINDS)


@pytest.mark.parametrize(("name", "k"), FORMS)
def test_a_form_is_whole(name, k):
    form = forms_of(name)[k]
    assert form["ask"].endswith(("?", ".", "…"))
    assert form["hint"].endswith((".", "?"))
    if form["kind"] == "number":
        for value, words in form.get("wrong", []):
            assert abs(value - form["right"]) > form["within"], value
            assert words.endswith((".", "?"))
    if form["kind"] == "choice":
        assert all(words for _, words in form["options"])
        assert 0 <= form["right"] < len(form["options"])


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_comes_from_an_executed_output(name):
    """Without outputs there is no right answer; and one that is typed into the data is refused."""
    bare = notebook(name)
    for cell in bare["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    with pytest.raises(ValueError, match="no output of the solution matches"):
        list(answers.forms(bare))
    typed = notebook(name)
    for cell, _ in answers.exercises(typed):
        for answer in cell["metadata"].get("answers", []):
            answer["right"] = 1
    with pytest.raises(ValueError, match="unknown fields \\['right'\\]"):
        list(answers.forms(typed))


AB, ABC = dict.fromkeys("ab", ""), dict.fromkeys("abc", "")


def output_of(text):
    return [{"outputs": [{"text": text}]}]


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ({"kind": "number", "from": r"is (\S+)"}, "is 12.5", (12.5, 0.125)),
        ({"kind": "number", "from": r"is (\S+)"}, "is 2,080", (2080, 0)),
        ({"kind": "number", "from": r"is (\S+)", "within": 3}, "is \u22127", (-7, 3)),
        ({"kind": "number", "from": r"is (.*)", "take": "distinct"}, "is 0.1 0.2 0.1", (2, 0)),
        ({"kind": "number", "from": r"(\d+) (\d+)", "take": "ratio", "within": 0.1}, "6 3", (2, 0.1)),
        (
            {"kind": "choice", "from": r"= (\d)", "take": "max", "options": ABC},
            "=1 = 3 = 9 = 4",
            1,
        ),
        ({"kind": "choice", "from": r"= (\d)", "take": "min", "options": ABC}, "= 3 = 9 = 1", 2),
        (
            {"kind": "choice", "from": r"(\d) (\d) (\d)", "take": "nearest", "options": AB},
            "5 1 4",
            1,
        ),
        ({"kind": "choice", "from": r"(\d) (\d)", "take": "side", "options": ABC}, "5 1", 0),
        (
            {"kind": "choice", "from": r"(\d)", "take": "side", "against": 1, "options": ABC},
            "1",
            1,
        ),
        ({"kind": "choice", "from": r"is (\w)", "says": {"x": "b"}, "options": AB}, "is x", 1),
        ({"kind": "choice", "from": r"is (\w)", "options": AB}, "is a", 0),
    ],
)
def test_the_right_answer_is_read_from_the_output(answer, text, right):
    form = answers.resolved({"ask": "?", "hint": ".", **answer}, answers.said(output_of(text)))
    found = (form["right"], form["within"]) if answer["kind"] == "number" else form["right"]
    assert found == pytest.approx(right)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "guess"}, "kind must be one of"),
        ({"hint": None}, "needs \\['hint'\\]"),
        ({"colour": "red"}, "unknown fields \\['colour'\\]"),
        ({"from": "no such text"}, "no output of the solution matches"),
    ],
)
def test_wrong_data_is_refused(change, message):
    answer = {"kind": "number", "ask": "?", "hint": ".", "from": r"is (\S+)", **change}
    answer = {key: value for key, value in answer.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        answers.resolved(answer, "is 3")


# ---- in the browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(browser, base):
    """One tab per chapter, each opened once; in the end, none may have complained."""
    opened, complaints = {}, {}

    def page_of(name, size=None):
        if name not in opened:
            opened[name] = browser.new_page()
            complaints[name] = watch(opened[name], *base.values())
            opened[name].goto(f"{base['file']}/book/{name}.html")
        if size:
            opened[name].set_viewport_size(size)
        return opened[name]

    yield page_of
    for page in opened.values():
        page.close()
    assert not any(complaints.values()), complaints


def answered(form, value):
    """What the page says, typed, clicked and sent by keys alone."""
    box, options = form.locator("input[type=text]"), form.get_by_role("radio")
    if box.count():
        box.fill(str(value))
        box.press("Enter")
    elif options.count():
        options.nth(value).focus()
        options.nth(value).press("Space")
        options.nth(value).press("Enter")
    else:
        for i, row in enumerate(value):
            for j, wanted in enumerate(row):
                cell = form.get_by_role("button", name=f"output {i} sees input {j}")
                if (cell.get_attribute("aria-pressed") == "true") != bool(wanted):
                    cell.focus()
                    cell.press("Space")
        form.get_by_role("button", name="Check").press("Enter")
    return form.locator(".says").inner_text(), "right" in form.get_attribute("class").split()


def right_answer(name, k):
    """From what the solution printed, by another way than the page's."""
    nb = notebook(name)
    pairs = [(answer, text) for cell, text in answers.exercises(nb) for answer in cell["metadata"].get("answers", [])]
    answer, text = pairs[k]
    if answer["kind"] == "matrix":
        return json.loads(answers.captured(answer["from"], text)[0])
    return forms_of(name)[k]["right"]


@in_browser
@pytest.mark.parametrize(("name", "k"), [(name, k) for name, k in FORMS if forms_of(name)[k]["kind"] != "order"])
def test_the_executed_answer_is_right_and_others_are_not(name, k, pages):
    page, form_data = pages(name), forms_of(name)[k]
    form = page.locator(".answer").nth(k)
    assert form.locator("p").first.inner_text() == form_data["ask"]
    right = right_answer(name, k)
    said, is_right = answered(form, right)
    assert is_right, said
    assert said.startswith("Yes")
    if form_data["kind"] == "number":
        near = max(3 * form_data["within"], 0.3)
        for value, words in [
            *form_data.get("wrong", []),
            (right + near, "less"),
            (right - near, "more"),
            ("x", "Type"),
        ]:
            said, is_right = answered(form, value)
            assert not is_right
            assert words in said or any(said == other for _, other in form_data.get("wrong", []))
    elif form_data["kind"] == "choice":
        for option, (_, words) in enumerate(form_data["options"]):
            said, is_right = answered(form, option)
            assert (is_right, said) == (option == right, f"{'Yes' if is_right else 'No'}. {words}")
    else:
        degrees = made.masks.degrees_from_order(torch.tensor(form_data["order"]))
        for i, j in [(0, 0), (1, 3), (2, 0)]:
            spoiled = copy.deepcopy(right)
            spoiled[i][j] = 1 - spoiled[i][j]
            said, is_right = answered(form, spoiled)
            assert not is_right
            comparison = f"{degrees[i]} > {degrees[j]} is {str(bool(right[i][j])).lower()}"
            assert said == (
                f"1 of 16 pairs are not right yet. Output {i} has degree {degrees[i]}, "
                f"input {j} degree {degrees[j]}: {comparison}."
            )
    hint = form.locator(".hint")
    assert not hint.is_visible()
    form.get_by_role("button", name="Hint").press("Enter")
    assert hint.inner_text() == form_data["hint"]


@in_browser
@pytest.mark.parametrize(("name", "k"), [(name, k) for name, k in FORMS if forms_of(name)[k]["kind"] == "order"])
def test_an_order_is_judged_as_the_checker_judges_it(name, k, pages):
    """All orders of four variables, by the package; and those that the solution printed, by what it printed."""
    data = forms_of(name)[k]
    nb = notebook(name)
    text = next(
        t for cell, t in answers.exercises(nb) for a in cell["metadata"].get("answers", []) if a["kind"] == "order"
    )
    printed = dict(re.findall(r"\[([\d, ]+)\] -> (.*)", text))
    judge = "([data, text]) => made.checkAnswer(data, text)"
    for order in torch.cartesian_prod(*[torch.arange(4)] * 4):
        if len(set(order.tolist())) < 4:
            assert "Name each of 0 to 3" in pages(name).evaluate(judge, [data, str(order.tolist())])["says"]
            continue
        degrees = order + 1
        found = made.diagnostics.violations(degrees[:, None] > degrees, order)
        said = pages(name).evaluate(judge, [{**data, "known": []}, str(order.tolist())])
        assert bool(said.get("right")) == bool(found)
        if found:
            assert said["says"] == f"Yes: {found[0]}."
        if str(order.tolist())[1:-1] in printed:
            assert bool(found) == (printed[str(order.tolist())[1:-1]] != "nothing noticed")
    form = pages(name).locator(".answer").nth(k)
    assert answered(form, "2 0 3 1") == ("That one stands in the question. Find another.", False)
    assert answered(form, "1 2 3 0")[1]
    assert "goes unnoticed" in answered(form, "1, 0, 3, 2")[0]


@in_browser
@pytest.mark.parametrize("name", NAMES)
def test_forms_fit_a_phone(name, pages):
    page = pages(name, NARROW)
    assert page.locator(".answer").count() == len(forms_of(name))
    assert page.evaluate(OVERFLOW) is None
    sticking = """() => [...document.querySelectorAll('.answer')].filter(f => {
      const { right } = f.getBoundingClientRect()
      return [...f.querySelectorAll('*')].some(e => e.getBoundingClientRect().right > right + 1)
    }).length"""
    assert page.evaluate(sticking) == 0
    small = """() => [...document.querySelectorAll('.answer button')]
      .filter(b => Math.min(b.getBoundingClientRect().width, b.getBoundingClientRect().height) < 30).length"""
    assert page.evaluate(small) == 0


@in_browser
def test_without_scripts_there_is_no_form(browser, base):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base['file']}/book/{NAMES[3]}.html")
    assert page.locator(".answers").count() > 0
    assert not page.locator(".answers").first.is_visible()
    context.close()


WRITTEN = {  # what a reader types: the number that it is
    "0.375": 0.375, "3/8": 0.375, " 3 / 8 ": 0.375, "37,5 %": 0.375, "2^9": 512, "−1e-3": -0.001, ".5": 0.5, "+7.": 7,
    "": None, "0x10": None, "1/0": None, "2^": None, "five": None, "1,000,000": None, "1 2": None,
}  # fmt: skip


@pytest.mark.browser
def test_numbers_are_read_as_they_are_written(visit, base):
    page, _ = visit(f"{base['file']}/book/03_the_autoregressive_property.html")
    ask = "text => made.readNumber(text, '')"
    assert {text: page.evaluate(ask, text) for text in WRITTEN} == {
        text: number if number is None else pytest.approx(number) for text, number in WRITTEN.items()
    }
    assert page.evaluate("made.readNumber('37,5 %', '%')") == 37.5


@pytest.mark.browser
def test_what_was_said_of_another_answer_goes(visit, base):
    page, _ = visit(f"{base['file']}/book/03_the_autoregressive_property.html")
    form = page.locator(".answers form:has([type=text])").first
    form.locator("[type=text]").fill("0")
    form.locator("[type=submit]").click()
    assert form.locator(".says").inner_text() != ""
    form.locator("[type=text]").fill("1")
    assert form.locator(".says").inner_text() == ""
    assert "wrong" not in form.get_attribute("class")
