"""tests/mutants: what counts as a small mistake, and what is left alone."""

import ast
import tomllib
from pathlib import Path

import pytest
from mutate import HERE, LESSON, source_file, stages
from operators import mutants_of


def mutants(*lines):
    return [m.after for m in mutants_of("example", "\n".join(lines) + "\n")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a < b", ["a <= b", "a >= b"]),
        ("(a) == (b)", ["(a) != (b)"]),
        ("a is not b", ["a is b"]),
        ("a + -b", ["a - -b", "a + (b)", "(a)", "(-b)"]),
        ("a // b", ["a * b", "(a)", "(b)"]),
        ("a & ~b", ["a | ~b", "a & (b)", "(a)", "(~b)"]),
        ("a and b", ["(b)", "(a)"]),
        ("a if b else c", ["a if not (b) else c"]),
        ("[a for a in b if c]", ["[a for a in b if not (c)]"]),
        ("2", ["3", "1"]),
        ("x[-1]", ["x", "x[(1)]", "x[-2]"]),
        ("True", ["False"]),
        ("0.5", ["1.0"]),
        ('"word"', ["'word_'"]),
        ("x[a:b]", ["x", "x[:b]", "x[a:]"]),
        ("a.T @ b", ["a @ b", "(a.T)", "(b)"]),
        ("x[order]", ["x", "x[order.argsort()]"]),
        ("self.order", ["self.order.argsort()"]),
        ("self.f(a)", ["(a)"]),
        ("self.a.to(b)", ["self.a"]),
        ("x.any(a)", ["x", "x.all(a)"]),
        ("x.clamp(a, b)", ["x"]),
        ("t.where(a, b, c)", ["(b)", "(c)", "t"]),
        ("f(a)", ["(a)"]),
        ("f(a, b=c)", ["f(a)"]),
        ("zip(a, b, strict=True)", []),
        ('f"{a + b}"', []),
    ],
)
def test_an_expression_is_changed_in_every_way(line, expected):
    assert sorted(mutants(f"x = {line}")) == sorted(f"x = {after}" for after in expected)


def test_statements_decorators_and_contexts_are_left_out():
    lines = ["@d", "def f(a):", "    a = g(a, 'b')", "    new = a", "    a += new", "    with h:", "        a.b()"]
    assert mutants(*lines) == [
        "# no decorator", "pass", "a = g(a, 'b_')", "pass", "a -= new",
        "with __import__('contextlib').nullcontext():", "pass",
    ]  # fmt: skip
    assert mutants("def f(a: int = 3) -> int:", '    """3 > 2"""', "    return a") == [
        "def f(a: int = 4) -> int:",
        "def f(a: int = 2) -> int:",
    ]
    assert mutants("def f(a):", "    if a:", '        raise ValueError("3 > 2")') == ["if not (a):", "pass"]


def test_an_early_return_may_go_and_the_last_one_stays():
    lines = ["def f(a):", "    for b in a:", "        return b", "    return a"]
    assert mutants(*lines) == ["pass"]


def test_a_mutant_is_known_by_what_changes_and_not_by_its_line():
    code = "def f(a, b):\n    return a > b\n"
    before, after = mutants_of("example", code), mutants_of("example", "import os\n\n\n" + code)
    assert [m.key for m in before] == [m.key for m in after]
    assert {(m.function, m.before) for m in before} == {("f", "return a > b")}
    assert [m.line - n.line for m, n in zip(after, before, strict=True)] == [3, 3]


def test_every_mutant_of_a_module_is_a_program_of_its_own():
    source = source_file("masks").read_text()
    found = mutants_of("masks", source)
    assert len({m.key for m in found}) == len({m.source for m in found} | {source}) - 1 == len(found) > 100
    assert all(ast.parse(m.source) for m in found[::10])


@pytest.mark.parametrize("module", LESSON)
def test_a_modules_own_tests_come_first_and_all_of_the_lesson_follows(module):
    (own,), others = stages(module)
    assert Path(own).name == f"test_{module}.py"
    assert {Path(path).name for path in [own, *others]} == {f"test_{name}.py" for name in ["invariants", *LESSON]}
    assert all(Path(path).exists() for path in [own, *others])


def test_what_is_said_to_change_nothing_has_a_reason():
    groups = tomllib.loads((HERE / "equivalent.toml").read_text())["group"]
    named = [tuple(mutant) for group in groups for mutant in group["mutants"]]
    assert all(len(group["why"]) > 20 for group in groups)
    assert all(len(mutant) == 4 and source_file(mutant[0]).exists() for mutant in named)
    assert len(set(named)) == len(named)
