"""What readers look at: source code, images, masks and curves, drawn in one calm style."""

from __future__ import annotations

import ast
import functools
import html
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from made.checks import integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from made.masks import Connectivity
    from made.model import MADE

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "autoencoder",
    "dependencies",
    "digest",
    "figure",
    "history",
    "images",
    "masks",
    "matrix",
    "network",
    "source",
    "table",
]

# Safe for colour-blind eyes, each with one meaning in the whole book. Blue: seen, allowed. Orange: unknown, predicted.
# Green: exact, true. Purple: against the rules, surprise. Grey: absent, a baseline.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#8c8c8c"

_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#222222",
    "axes.titlesize": 10,
    "axes.prop_cycle": f"cycler('color', {[BLUE, ORANGE, GREEN, PURPLE, GREY]})",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "lines.linewidth": 1.8,
    "figure.dpi": 120,
    "image.interpolation": "nearest",
}


def source(*objects: Any, functions: bool = True) -> Any:
    """The package's own source of functions, classes or modules, highlighted; in a notebook, the last line of a cell.

    Docstrings are cut to their first line, the rest being in the API reference. The code is shown as it is.

    Args:
        objects: functions, methods, properties, classes or modules.
        functions: whether to show the functions and the classes inside of a class or a module. Otherwise what is left
            stands with dots in their place.

    Example:
        >>> import made
        >>> print(source(made.layers.MaskedLinear.masked_weight).data)
        ```python
        def masked_weight(self) -> Tensor:
            \"\"\"The weights that count, shape (out_features, in_features); the others are zero.\"\"\"
            return self.weight * self.mask
        ```
        >>> print(source(made.Bernoulli, functions=False).data)
        ```python
        @dataclass(frozen=True)
        class Bernoulli(Likelihood):
            r\"\"\"Binary variables; the raw output is the logit.\"\"\"
        <BLANKLINE>
            n_params = 1
            n_states = 2
            support = "0 or 1"
        <BLANKLINE>
            ...
        ```
    """
    from IPython.display import Markdown

    texts = [textwrap.dedent(inspect.getsource(_function(obj))) for obj in objects]
    texts = [_first_lines(text if functions else _without_functions(text)).strip() for text in texts]
    code = "\n\n\n".join(texts)
    return Markdown(f"```python\n{code}\n```")


def _function(obj: Any) -> Any:
    """The function behind a property; anything else as it is.

    Example:
        >>> import made
        >>> _function(made.MADE.order_agnostic).__name__, _function(made.MADE.use).__name__
        ('order_agnostic', 'use')
    """
    return getattr(obj, "fget", None) or getattr(obj, "func", obj)


def _without_functions(text: str) -> str:
    """A class or a module with dots in place of the functions and classes in it.

    Example:
        >>> print(_without_functions("class A:\\n    x = 1\\n\\n    def f(self):\\n        pass\\n\\n    y = f"))
        class A:
            x = 1
        <BLANKLINE>
            ...
        <BLANKLINE>
            y = f
    """
    lines, body = text.splitlines(), ast.parse(text).body
    inside = body[0].body if len(body) == 1 and isinstance(body[0], ast.ClassDef) else body
    left_out = [node for node in inside if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    for node in reversed(left_out):
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        lines[start : node.end_lineno] = [" " * node.col_offset + "..."]
    return re.sub(r"(\n *\.\.\.)(?:\s*\n *\.\.\.(?=\n|$))+", r"\1", "\n".join(lines))


def _first_lines(text: str) -> str:
    """Cut every docstring in a piece of source to its first line.

    Example:
        >>> print(_first_lines('def f():\\n    \\"\\"\\"One.\\n\\n    Two.\\n    \\"\\"\\"\\n    return 1'))
        def f():
            \"\"\"One.\"\"\"
            return 1
    """
    lines = text.splitlines()
    documented = [
        node.body[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node)
    ]
    for node in sorted(documented, key=lambda node: -node.lineno):
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        if last - first > 1:
            lines[first:last] = [lines[first].rstrip() + '"""']
    return "\n".join(lines)


def table(columns: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> Any:
    """Rows as an HTML table; in a notebook, the last line of a cell, or handed to ``display``.

    The first cell of a row names it. Columns of numbers are set to the right. Text is shown as it is, so ``<`` is safe.

    Args:
        columns: titles, one for each column.
        rows: cells, as many in each row as there are titles.
        caption: what the table shows, in a sentence.

    Raises:
        ValueError: a row has not as many cells as there are titles.

    Example:
        >>> print(table(["network", "nats"], [["MADE", 17.3]], "Cost of a digit").data)
        <table class="results">
        <caption>Cost of a digit</caption>
        <thead><tr><th scope="col">network</th><th scope="col" style="text-align: right">nats</th></tr></thead>
        <tbody>
        <tr><th scope="row">MADE</th><td style="text-align: right">17.3</td></tr>
        </tbody>
        </table>
    """
    from IPython.display import HTML

    texts = [[html.escape(str(cell), quote=False) for cell in row] for row in (columns, *rows)]
    for k, row in enumerate(texts):
        if len(row) != len(texts[0]):
            raise ValueError(f"rows[{k - 1}] has {len(row)} cells, columns has {len(texts[0])} titles")
    right = ' style="text-align: right"'
    columns_of_text = enumerate(zip(*texts[1:], strict=True))
    # The names of the rows stand at the left, whatever they are.
    styles = [right if k and _numbers(column) else "" for k, column in columns_of_text]
    titles, *cells = texts
    styles = styles or [""] * len(titles)
    head = "".join(f'<th scope="col"{style}>{text}</th>' for text, style in zip(titles, styles, strict=True))
    body = []
    for first, *rest in cells:
        others = "".join(f"<td{style}>{text}</td>" for text, style in zip(rest, styles[1:], strict=True))
        body.append(f'<tr><th scope="row">{first}</th>{others}</tr>')
    above = [f"<caption>{html.escape(caption, quote=False)}</caption>"] if caption else []
    start = ['<table class="results">', *above, f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    return HTML("\n".join([*start, *body, "</tbody>", "</table>"]))


def _numbers(texts: Sequence[str]) -> bool:
    """Whether these cells are numbers: each begins with one, perhaps after a sign, or is empty or a dash.

    Example:
        >>> _numbers(["1.5 ± 0.1", "-3", "–", "", "inf"]), _numbers(["2 x 500", "MADE"]), _numbers(["", "–"])
        (True, False, False)
    """
    return all(re.match(r"([-+−~]?(?:[\d.]|inf\b)|[-–]?$)", text) for text in texts) and any(
        re.search(r"\d", t) for t in texts
    )


def digest(x: Tensor, digits: int = 2) -> str:
    """A short text about the numbers in a figure, so that a test can compare what cannot be seen.

    Example:
        >>> digest(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
        'shape (2, 2), mean 0.75, min 0.00, max 1.00'
    """
    digits = integer("digits", digits, 0)
    x = torch.as_tensor(x, device="cpu").double()
    mean, low, high = (f"{v.item():.{digits}f}" for v in (x.mean(), x.min(), x.max()))
    return f"shape {tuple(x.shape)}, mean {mean}, min {low}, max {high}"


@functools.cache
def _figure_class() -> type[Figure]:
    """A figure whose text form tells what is drawn: nbval compares texts, it cannot see pixels."""
    from matplotlib import figure as mpl

    class Figure(mpl.Figure):
        def __repr__(self) -> str:
            return f"{super().__repr__()[:-1]}: {_drawn(self)}>"

    return Figure


def _drawn(fig: Any) -> str:
    """The numbers in a figure in short: across, upwards, and as colours.

    Example:
        >>> fig, ax = figure()
        >>> _ = ax.plot([0, 1, 2], [5.0, 4.5, 4.04])
        >>> _drawn(fig)
        '1 line, x mean 1, min 0, max 2, y mean 4.5, min 4, max 5'
    """
    counts = dict.fromkeys(("line", "image", "bar", "collection"), 0)
    x, y, colour = [], [], []
    for ax in fig.axes:
        bars = [(bar.get_width(), bar.get_height()) for bar in ax.patches if hasattr(bar, "get_width")]
        points = [np.asarray(line.get_xydata(), float) for line in ax.lines]
        for collection in ax.collections:
            points += [np.ma.filled(collection.get_offsets().astype(float), np.nan)]
            points += [path.vertices for path in collection.get_paths()]
        points += [np.array(bars)] if bars else []
        x += [p[:, 0] for p in points]
        y += [p[:, 1] for p in points]
        arrays = [marks.get_array() for marks in (*ax.images, *ax.collections)]
        colour += [np.ma.filled(values.astype(float), np.nan).ravel() for values in arrays if values is not None]
        for name, found in zip(counts, (ax.lines, ax.images, bars, ax.collections), strict=True):
            counts[name] += len(found)
    said = [f"{n} {name}{'s' * (n > 1)}" for name, n in counts.items() if n]
    for name, parts in {"x": x, "y": y, "colour": colour}.items():
        values = np.concatenate([*parts, []])
        values = values[np.isfinite(values)]
        if len(values):
            # two digits, so that processors that differ in the last digits of a training agree
            said.append(f"{name} mean {values.mean():.2g}, min {values.min():.2g}, max {values.max():.2g}")
    return ", ".join(said)


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6, 2.5), **options: Any) -> tuple[Figure, Any]:
    """``plt.subplots`` in the style of the book; the figure's text form tells what is drawn."""
    import matplotlib.pyplot as plt

    plt.draw_if_interactive()  # loads the backend; inside the context its "interactive" setting would be undone
    with plt.rc_context(_STYLE):  # type: ignore[arg-type]
        return plt.subplots(rows, columns, figsize=size, layout="constrained", FigureClass=_figure_class(), **options)


def images(
    x: Tensor,
    columns: int = 10,
    side: int | None = None,
    titles: list[str] | None = None,
    scale: float = 0.7,
    rows: Sequence[str] = (),
    colours: str | Sequence[str] = "Greys",
) -> Figure:
    """Draw rows of x, shape (N, D), as square images of values in [0, 1]; NaN is drawn in orange.

    Args:
        x: shape (N, D), an image in each row.
        columns: images beside each other.
        side: height of an image; default: it is a square.
        titles: one above each image.
        scale: width of an image, in inches.
        rows: labels at the left, one for each row of the grid.
        colours: matplotlib's name of the colours, or one for each row of the grid.

    Raises:
        ValueError: D is no square number and ``side`` is not given, a number is no positive integer, or there are not
            as many labels or colours as rows of the grid.
    """
    import matplotlib as mpl

    x = torch.as_tensor(x, device="cpu").detach()
    side = round(x.shape[-1] ** 0.5) if side is None else integer("side", side, 1)
    if x.dim() != 2 or x.shape[-1] % side:
        raise ValueError(f"x must have shape (N, side * width), got {tuple(x.shape)} with side {side}")
    columns = min(integer("columns", columns, 1), len(x))
    n_rows = -(-len(x) // columns)
    colours = [colours] * n_rows if isinstance(colours, str) else list(colours)
    for name, given in {"rows": rows, "colours": colours}.items():
        if len(given) not in ((0, n_rows) if name == "rows" else (n_rows,)):
            raise ValueError(f"{name} must have one entry for each of the {n_rows} rows of the grid, got {len(given)}")
    size = (columns * scale + 1.1 * bool(rows), n_rows * (scale + (0.25 if titles else 0)))
    fig, axes = figure(n_rows, columns, size, squeeze=False)
    maps = [mpl.colormaps[name].with_extremes(bad=ORANGE) for name in colours]
    for k, ax in enumerate(axes.flat):
        if rows and k % columns == 0:
            ax.set_ylabel(rows[k // columns], rotation=0, ha="right", va="center", fontsize=9)
        if k >= len(x):
            ax.set_axis_off()
            continue
        ax.imshow(x[k].reshape(side, -1).numpy(), cmap=maps[k // columns], vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(visible=True, color="#c8c8c8")
        if titles:
            ax.set_title(titles[k], fontsize=8)
    return fig


def matrix(
    ax: Axes,
    values: Tensor,
    title: str,
    xlabel: str,
    ylabel: str,
    cmap: str = "Blues",
    labels: Sequence[int] | None = None,
) -> None:
    """Draw a matrix with one square per entry, with ticks if it is small.

    Args:
        ax: where to draw.
        values: bool or numbers, shape (rows, columns).
        title: above the matrix.
        xlabel: what the columns are.
        ylabel: what the rows are.
        cmap: matplotlib's name of the colours.
        labels: numbers of the rows and columns; default 0, 1, ..
    """
    values = torch.as_tensor(values, device="cpu").float()
    ax.imshow(values.numpy(), cmap=cmap, vmin=0, vmax=1.3, aspect="equal")
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if max(values.shape) <= 12:
        ax.set_xticks(range(values.shape[1]), [str(j) for j in labels or range(values.shape[1])])
        ax.set_yticks(range(values.shape[0]), [str(i) for i in labels or range(values.shape[0])])
        ax.set_xticks([j - 0.5 for j in range(1, values.shape[1])], minor=True)
        ax.set_yticks([i - 0.5 for i in range(1, values.shape[0])], minor=True)
        ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _connectivity(value: Any) -> Connectivity:
    """A connectivity, or the one that a model has in use."""
    found = getattr(value, "connectivity", value)
    if not all(hasattr(found, name) for name in ("degrees", "masks", "reachable")):
        raise TypeError(f"connectivity must be a made.Connectivity or a made.MADE, got {type(value).__name__}")
    return found


def masks(connectivity: Connectivity | MADE) -> Figure:
    """Draw every mask of a connectivity and, last, what they let each output see.

    Args:
        connectivity: a connectivity, or a model, of which the one in use is drawn.

    Raises:
        TypeError: it is neither.
    """
    connectivity = _connectivity(connectivity)
    layers = connectivity.masks()
    names = ["inputs", *(f"hidden {k + 1}" for k in range(len(layers) - 1)), "outputs"]
    fig, axes = figure(1, len(layers) + 1, (2.3 * (len(layers) + 1), 2.6))
    for k, mask in enumerate(layers):
        matrix(axes[k], mask, f"mask {k + 1}", names[k], names[k + 1])
    matrix(axes[-1], connectivity.reachable(), "who sees whom", "inputs", "outputs")
    return fig


def dependencies(*matrices: Tensor, titles: Sequence[str], labels: Sequence[Sequence[int]] | None = None) -> Figure:
    """Draw (D, D) dependency matrices side by side: row i, column j is filled if output i sees input j.

    Args:
        matrices: bool, shape (D, D).
        titles: one per matrix.
        labels: for each matrix, the variables that its rows and columns stand for; default 0..D-1.
    """
    labels = labels or [range(len(m)) for m in matrices]
    fig, axes = figure(1, len(matrices), (2.4 * len(matrices), 2.6), squeeze=False)
    for ax, values, title, names in zip(axes[0], matrices, titles, labels, strict=True):
        matrix(ax, values, title, "input", "output", labels=names)
    return fig


def autoencoder(widths: list[int]) -> Figure:
    """Draw a vanilla autoencoder as a row of layers, x on the left, the code in the middle, the reconstruction right.

    Args:
        widths: widths of the encoder from the input to the code; the decoder mirrors them.
    """
    widths = [integer("widths", width, 1) for width in widths]
    layers = [*widths, *reversed(widths[:-1])]
    fig, ax = figure(1, 1, (6, 2.6))
    code = len(widths) - 1
    for k, width in enumerate(layers):
        colour = {0: BLUE, 2 * code: ORANGE}.get(k, GREY)
        for unit in range(width):
            y = unit - (width - 1) / 2
            for other in range(layers[k + 1]) if k + 1 < len(layers) else ():
                ax.plot((k, k + 1), (y, other - (layers[k + 1] - 1) / 2), color="#c8c8c8", linewidth=0.8)
            ax.scatter(k, y, s=160, color="white", edgecolors=colour, linewidths=1.6, zorder=2)
    top = (max(layers) - 1) / 2 + 0.9
    above = {"input x": 0, "code z": code, "reconstruction x̂": 2 * code}
    below = {"encoder f": 0.5 * code, "decoder g": 1.5 * code}
    for y, labels in ((top, above), (-top, below)):
        for label, x in labels.items():
            ax.text(x, y, label, ha="center", va="center", color="#222222")
    ax.set(xlim=(-0.7, len(layers) - 0.3), ylim=(-top - 0.6, top + 0.6))
    ax.set_axis_off()
    return fig


def network(connectivity: Connectivity | MADE, highlight: int | None = None) -> Figure:
    """Draw units as circles with their degrees, and unmasked weights as lines, with the inputs at the bottom.

    Args:
        connectivity: a connectivity, or a model, of which the one in use is drawn. At most some ten units per layer
            are legible.
        highlight: index of an output, drawn in orange; the paths that lead to it are blue.

    Raises:
        TypeError: it is no connectivity and no model.
        ValueError: there is no such output.
    """
    connectivity = _connectivity(connectivity)
    if highlight is not None and integer("highlight", highlight, 0) >= len(connectivity.degrees[0]):
        raise ValueError(f"highlight must be in 0..{len(connectivity.degrees[0]) - 1}, got {highlight}")
    degrees, layers = connectivity.degrees, connectivity.masks()
    n_layers = len(layers) + 1
    widest = max(len(d) for d in degrees)
    fig, ax = figure(1, 1, (max(4.0, 0.75 * widest), 1.0 * n_layers))

    def place(layer: int, unit: int, width: int) -> tuple[float, float]:
        return (unit - (width - 1) / 2) * min(1.6, widest / width), layer

    lit: list[Tensor] = [torch.zeros(len(m), dtype=torch.bool, device="cpu") for m in [layers[0].T, *layers]]
    if highlight is not None:
        lit[-1][highlight] = True
        for k in range(len(layers) - 1, -1, -1):
            lit[k] = layers[k][lit[k + 1]].any(0)
    for k, mask in enumerate(layers):
        for out, inp in mask.nonzero().tolist():
            ends = [place(k, inp, mask.shape[1]), place(k + 1, out, mask.shape[0])]
            on = bool(lit[k + 1][out])
            style = {"color": BLUE, "linewidth": 1.6, "zorder": 1.5} if on else {"color": "#c8c8c8", "linewidth": 0.8}
            ax.plot(*zip(*ends, strict=True), **style)
    for k, labels in enumerate([*degrees, degrees[0]]):
        for unit, label in enumerate(labels.tolist()):
            predicted = k == n_layers - 1 and unit == highlight
            colour = ORANGE if predicted else BLUE if highlight is None or lit[k][unit] else GREY
            ax.scatter(*place(k, unit, len(labels)), s=260, color="white", edgecolors=colour, linewidths=1.6, zorder=2)
            ax.text(*place(k, unit, len(labels)), str(label), ha="center", va="center", fontsize=9, zorder=3)
    for i in range(len(degrees[0])):
        for layer, y in ((0, -0.38), (n_layers - 1, n_layers - 0.62)):
            ax.text(place(layer, i, len(degrees[0]))[0], y, f"$x_{{{i}}}$", ha="center", va="center", fontsize=9)
    names = ["inputs", *(f"hidden {k}" for k in range(1, n_layers - 1)), "outputs"]
    left = -widest / 2 - 0.6
    for k, name in enumerate(names):
        ax.text(left, k, name, ha="right", va="center", fontsize=9, color="#444444")
    ax.set(xlim=(left - 1.2, widest / 2 + 0.3), ylim=(-0.6, n_layers - 0.4))
    ax.set_axis_off()
    return fig


def history(record: Any, ax: Axes | None = None) -> Axes:
    """Draw the training and validation loss per epoch that ``made.fit`` returned, and the epoch that was kept."""
    if ax is None:
        ax = figure(1, 1, (5, 2.6))[1]
    epochs = range(1, len(record.train) + 1)
    ax.plot(epochs, record.train, label="training", color=BLUE)
    if record.valid:
        ax.plot(epochs, record.valid, label="validation", color=ORANGE)
        ax.plot(record.best_epoch + 1, record.valid[record.best_epoch], "o", color=ORANGE, label="kept")
    ax.set(xlabel="epoch", ylabel="loss (nats)")
    ax.legend(frameon=False)
    return ax
