"""Small mistakes, made one at a time: every way in which a module's source can be changed a little.

A mutant is the source with one stretch of text replaced. Strings that are read by people (docstrings, messages) and
types stay as they are, and so do the arguments ``strict`` of zip: all lengths are equal where it is given.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Mutant(NamedTuple):
    """One small mistake.

    Attributes:
        module: of the package, such as "masks".
        function: the innermost class and function it is in, such as "Connectivity.create", or "" at the top.
        line: where the change begins, counted from 1.
        before: the lines that change, their white space collapsed.
        after: what they become.
        source: the whole module with the mistake.
        number: counts mutants whose first five fields, but for the line, are equal.
    """

    module: str
    function: str
    line: int
    before: str
    after: str
    source: str
    number: int = 0

    @property
    def key(self) -> str:
        """A name that does not change when lines are added elsewhere."""
        return f"{self.module} | {self.function} | {self.before} | {self.after} | {self.number}"


COMPARISONS = {
    ast.Lt: ["<=", ">="], ast.LtE: ["<", ">"], ast.Gt: [">=", "<="], ast.GtE: [">", "<"],
    ast.Eq: ["!="], ast.NotEq: ["=="], ast.Is: ["is not"], ast.IsNot: ["is"], ast.In: ["not in"], ast.NotIn: ["in"],
}  # fmt: skip
ARITHMETIC = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "//", ast.Pow: "*",
    ast.BitAnd: "|", ast.BitOr: "&", ast.BitXor: "&",
}  # fmt: skip
SYMBOLS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
    ast.IsNot: r"is\s+not", ast.In: "in", ast.NotIn: r"not\s+in", ast.Add: r"\+", ast.Sub: "-", ast.Mult: r"\*",
    ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: r"\*\*", ast.BitAnd: "&", ast.BitOr: r"\|",
    ast.BitXor: r"\^",
}  # fmt: skip
PAIRS = [
    ("any", "all"), ("min", "max"), ("sum", "mean"), ("zeros", "ones"), ("new_zeros", "new_ones"), ("exp", "log"),
    ("repeat", "repeat_interleave"), ("zeros_like", "ones_like"), ("floor", "ceil"), ("cumsum", "cumprod"),
]  # fmt: skip
OTHER_NAME = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Edit = tuple[int, int, str]  # replace the bytes from here to there


class Operators:
    """All edits of one module."""

    def __init__(self, source: str) -> None:
        self.bytes, self.tree = source.encode(), ast.parse(source)
        lines = self.bytes.splitlines(keepends=True)
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))
        nodes = [alias for node in ast.walk(self.tree) if isinstance(node, (ast.Import, ast.ImportFrom))
                 for alias in node.names]  # fmt: skip
        self.statements = {node.value for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}  # can be deleted
        self.imported = {(alias.asname or alias.name).split(".")[0] for alias in nodes}

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node begins and ends, in bytes."""
        begin = self.starts[node.lineno - 1] + node.col_offset
        return begin, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.AST) -> str:
        """The source of a node."""
        begin, end = self.span(node)
        return self.bytes[begin:end].decode()

    def replaced(self, node: ast.AST, text: str) -> Edit:
        """Put a text where a node is."""
        return (*self.span(node), text)

    def edits(self) -> Iterator[tuple[str, Edit]]:
        """Every edit with the name of the class and function it is in."""
        yield from self.visit(self.tree, "")

    def visit(self, node: ast.AST, where: str) -> Iterator[tuple[str, Edit]]:
        """Edits of a node and of all below it."""
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            where = f"{where}.{node.name}".lstrip(".")
            for decorator in node.decorator_list:
                begin, end = self.span(decorator)
                yield where, (begin - 1, end, "# no decorator")
        for edit in self.own(node):
            yield where, edit
        for child in self.children(node):
            yield from self.visit(child, where)

    def children(self, node: ast.AST) -> Iterator[ast.AST]:
        """What is looked at below a node: no types, docstrings, messages of errors, format strings."""
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns") or isinstance(node, (ast.Raise, ast.JoinedStr)):
                continue
            below = value if isinstance(value, list) else [value]
            for child in below:
                is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
                if isinstance(child, ast.AST) and not is_text and not is_exported(child):
                    yield child

    def own(self, node: ast.AST) -> Iterator[Edit]:
        """Edits of a node itself."""
        method = getattr(self, f"on_{type(node).__name__.lower()}", None)
        if method is not None:
            yield from method(node)
        if isinstance(node, (ast.If, ast.While, ast.IfExp)):
            yield from self.negated(node.test)
        if isinstance(node, (*FUNCTIONS, ast.If, ast.For, ast.While, ast.With, ast.Try)):
            yield from self.without_statements(node)

    def negated(self, test: ast.expr) -> Iterator[Edit]:
        """The opposite of a condition, unless another operator gives it."""
        simple = isinstance(test, ast.Compare) and len(test.ops) == 1
        if not simple and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            yield self.replaced(test, f"not ({self.text(test)})")

    def on_comprehension(self, node: ast.comprehension) -> Iterator[Edit]:
        """The opposite of each condition."""
        for test in node.ifs:
            yield from self.negated(test)

    def between(self, left: ast.AST, right: ast.AST, op: ast.AST, new: str) -> Edit:
        """Another symbol between two operands."""
        begin, end = self.span(left)[1], self.span(right)[0]
        gap = self.bytes[begin:end].decode()
        return begin, end, re.sub(SYMBOLS[type(op)], lambda _: new, gap, count=1)

    def on_compare(self, node: ast.Compare) -> Iterator[Edit]:
        """Another comparison."""
        operands = pairwise([node.left, *node.comparators])
        for (left, right), op in zip(operands, node.ops, strict=True):
            for new in COMPARISONS[type(op)]:
                yield self.between(left, right, op, new)

    def on_binop(self, node: ast.BinOp) -> Iterator[Edit]:
        """Another operation, and either operand alone."""
        if type(node.op) in ARITHMETIC:
            yield self.between(node.left, node.right, node.op, ARITHMETIC[type(node.op)])
        for operand in (node.left, node.right):
            yield self.replaced(node, f"({self.text(operand)})")

    def on_augassign(self, node: ast.AugAssign) -> Iterator[Edit]:
        """Another operation."""
        if type(node.op) in ARITHMETIC:
            yield self.between(node.target, node.value, node.op, ARITHMETIC[type(node.op)])

    def on_unaryop(self, node: ast.UnaryOp) -> Iterator[Edit]:
        """Without its sign, its not, or its ~."""
        yield self.replaced(node, f"({self.text(node.operand)})")

    def on_boolop(self, node: ast.BoolOp) -> Iterator[Edit]:
        """Without one of the conditions."""
        for left_out in node.values:
            rest = [value for value in node.values if value is not left_out]
            new = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
            yield self.replaced(node, f"({ast.unparse(new)})")

    def on_constant(self, node: ast.Constant) -> Iterator[Edit]:
        """Another value."""
        value = node.value
        if isinstance(value, bool):
            yield self.replaced(node, str(not value))
        elif isinstance(value, int):
            yield self.replaced(node, str(value + 1))
            if value > 0 and self.bytes[self.span(node)[0] - 1 :][:1] != b"-":  # else -1 would become -0
                yield self.replaced(node, str(value - 1))
        elif isinstance(value, float):
            yield self.replaced(node, repr(2 * value if value else 1.0))
        elif isinstance(value, str):
            yield self.replaced(node, repr(f"{value}_"))

    def on_slice(self, node: ast.Slice) -> Iterator[Edit]:
        """Without one of its ends, or its step."""
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                yield self.replaced(part, "")

    def on_subscript(self, node: ast.Subscript) -> Iterator[Edit]:
        """The whole instead of a part."""
        if isinstance(node.ctx, ast.Load) and self.root(node.value) not in self.imported:
            yield self.replaced(node, self.text(node.value))

    def on_name(self, node: ast.Name) -> Iterator[Edit]:
        """The inverse of an order: who comes when, instead of when who comes."""
        if node.id.endswith("order") and isinstance(node.ctx, ast.Load):
            yield self.replaced(node, f"{node.id}.argsort()")

    def on_attribute(self, node: ast.Attribute) -> Iterator[Edit]:
        """The inverse of an order, and a matrix that is not transposed."""
        if node.attr == "order" and isinstance(node.ctx, ast.Load):
            yield self.replaced(node, f"{self.text(node)}.argsort()")
        if node.attr in ("T", "mT"):
            yield self.replaced(node, self.text(node.value))

    def on_call(self, node: ast.Call) -> Iterator[Edit]:
        """Another function, without the call, and without each of the arguments that have a name."""
        function, end = node.func, self.span(node.func)[1]
        is_method = isinstance(function, ast.Attribute) and self.text(function.value) != "self"
        is_method = is_method and self.root(function) not in self.imported
        name = function.attr if isinstance(function, ast.Attribute) else self.text(function)
        if name in OTHER_NAME:
            yield end - len(name.encode()), end, OTHER_NAME[name]
        if is_method and not is_super(function.value) and node not in self.statements:
            yield self.replaced(node, self.text(function.value))
        if name == "where" and len(node.args) == 3:
            yield from (self.replaced(node, f"({self.text(argument)})") for argument in node.args[1:])
        alone = len(node.args) == 1 and not node.keywords and node not in self.statements
        if alone and not is_method and not isinstance(node.args[0], (ast.Starred, ast.GeneratorExp)):
            yield self.replaced(node, f"({self.text(node.args[0])})")
        arguments = sorted([*node.args, *node.keywords], key=lambda argument: self.span(argument)[0])
        for place, argument in enumerate(arguments):
            if isinstance(argument, ast.keyword) and argument.arg not in (None, "strict"):
                begin, end = self.span(argument)
                begin = self.span(arguments[place - 1])[1] if place else begin
                yield begin, end, ""

    def root(self, node: ast.AST) -> str:
        """The name before the first dot: "torch" of torch.special.ndtri."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return self.text(node)

    def on_with(self, node: ast.With) -> Iterator[Edit]:
        """Without the context."""
        for item in node.items:
            if item.optional_vars is None:
                yield self.replaced(item.context_expr, "__import__('contextlib').nullcontext()")

    def without_statements(self, node: ast.AST) -> Iterator[Edit]:
        """Without one of the statements that can be missed: no first assignment of a name, no last return."""
        for block in (getattr(node, name, []) for name in ("body", "orelse", "finalbody")):
            for statement in block:
                if self.can_go(statement, node):
                    yield self.replaced(statement, "pass")

    def can_go(self, statement: ast.stmt, parent: ast.AST) -> bool:
        """Whether a module without this statement may run at all."""
        if isinstance(statement, ast.Expr):
            return isinstance(statement.value, ast.Call)
        if isinstance(statement, ast.Return):
            return not isinstance(parent, FUNCTIONS)
        if isinstance(statement, ast.Assign):
            return any(self.is_bound_before(target, statement) for target in statement.targets)
        return isinstance(statement, (ast.AugAssign, ast.Raise, ast.Break, ast.Continue))

    def is_bound_before(self, target: ast.expr, statement: ast.stmt) -> bool:
        """Whether a target has a value already: an attribute, an entry, or a name that was assigned before."""
        if isinstance(target, (ast.Attribute, ast.Subscript)):
            return True
        if not isinstance(target, ast.Name):
            return False
        functions = [f for f in ast.walk(self.tree) if isinstance(f, FUNCTIONS) and f.lineno < statement.lineno
                     and statement.end_lineno <= f.end_lineno]  # fmt: skip
        if not functions:
            return False
        inner = functions[-1]
        arguments = [a.arg for a in [*inner.args.args, *inner.args.kwonlyargs]]
        earlier = [n.id for n in ast.walk(inner) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                   and n.lineno < statement.lineno]  # fmt: skip
        return target.id in [*arguments, *earlier]


def is_super(node: ast.AST) -> bool:
    """Whether this is the call ``super()``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def is_exported(node: ast.AST) -> bool:
    """Whether this is the list ``__all__``, an import, or a call's argument ``strict``."""
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    names = [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
    return "__all__" in names or isinstance(node, (ast.Import, ast.ImportFrom))


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All mutants of a module's source, in the order of the lines.

    Example:
        >>> [m.after for m in mutants_of("example", "def earlier(i, j):\\n    return i > j")]
        ['return i >= j', 'return i <= j']
    """
    operators, found, numbers = Operators(source), {}, {}
    original = operators.bytes
    for where, (begin, end, text) in sorted(operators.edits(), key=lambda e: (e[1][0], e[1][1])):
        changed = (original[:begin] + text.encode() + original[end:]).decode()
        if changed == source or changed in found or not is_python(changed):
            continue
        first, last = original.rfind(b"\n", 0, begin) + 1, original.find(b"\n", end) % (len(original) + 1)
        before = " ".join(original[first:last].decode().split())
        after = " ".join((original[first:begin] + text.encode() + original[end:last]).decode().split())
        name = (where, before, after)
        numbers[name] = numbers.get(name, -1) + 1
        line = original.count(b"\n", 0, begin) + 1
        found[changed] = Mutant(module, where, line, before, after, changed, numbers[name])
    return list(found.values())


def is_python(source: str) -> bool:
    """Whether a source can be read."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
