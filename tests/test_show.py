"""made/show.py: every drawing draws what it was given."""

import ast
import inspect
import io
import textwrap
import tokenize
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

import made
from made import Connectivity, History, show

C = Connectivity.create(3, (4, 5), torch.tensor([2, 0, 1]))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def words(text):
    """Every token of a source text, comments included; of a long string (a docstring) its first line."""
    blank = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in blank]
    return [t.string.split("\n")[0].removesuffix('"""') if '"""' in t.string else t.string for t in tokens]


@pytest.mark.parametrize("obj", [made.MADE, made.MADE.log_prob, made.fit, made.masks, made.masks.build_masks])
def test_source_is_the_exact_code_and_first_lines_of_docstrings(obj):
    text = show.source(obj).data
    assert text.startswith("```python\n")
    assert text.endswith("\n```")
    shown = text.removeprefix("```python\n").removesuffix("\n```")
    assert words(shown) == words(textwrap.dedent(inspect.getsource(obj)))


def without_functions(obj):
    """What `source(obj, functions=False)` prints, parsed; a class is its body."""
    text = show.source(obj, functions=False).data.removeprefix("```python\n").removesuffix("\n```")
    body = ast.parse(text).body
    return text, body if inspect.ismodule(obj) else body[0].body


def whole(obj):
    body = ast.parse(textwrap.dedent(inspect.getsource(obj))).body
    return body if inspect.ismodule(obj) else body[0].body


@pytest.mark.parametrize(
    "obj", [made.likelihoods, made.MixtureOfGaussians, made.Columns, made.MADE, made.sampling.Sorted]
)
def test_source_without_functions_leaves_out_these_and_nothing_else(obj):
    text, shown = without_functions(obj)
    dots = ast.dump(ast.parse("...").body[0])
    kinds = (ast.FunctionDef, ast.ClassDef)
    expected = [dots if isinstance(node, kinds) else ast.dump(node) for node in whole(obj)[1:]]
    expected = [line for k, line in enumerate(expected) if line != dots or k == 0 or expected[k - 1] != dots]
    assert [ast.dump(node) for node in shown[1:]] == expected
    assert not any(isinstance(node, kinds) for node in shown)
    assert "\n\n\n\n" not in text


def test_source_without_functions_keeps_the_decorator_of_the_class_alone():
    assert show.source(made.Columns, functions=False).data.split("\n")[1] == "@dataclass(frozen=True)"
    assert "cached_property" not in show.source(made.Columns, functions=False).data


def test_source_of_a_property_and_of_a_cached_one_is_that_of_its_function():
    assert show.source(made.MADE.order_agnostic).data.startswith("```python\n@property\ndef order_agnostic(")
    assert show.source(made.Columns.groups).data.startswith("```python\n@cached_property\ndef groups(")


def test_source_of_a_method_is_not_indented():
    assert show.source(made.MADE.loss).data.split("\n")[1].startswith("def loss(")


def test_table_is_read_by_a_parser_as_it_was_given():
    rows = [["a < b & c", 1.5, "x"], ["plain", "−2 ± 1", ""]]
    read = ElementTree.fromstring(show.table(["who", "nats", "note"], rows, "Cost < 3").data)
    cells = [[cell.text or "" for cell in row] for row in read.iter("tr")]
    assert cells == [["who", "nats", "note"], *([str(cell) for cell in row] for row in rows)]
    assert read.find("caption").text == "Cost < 3"


def test_table_sets_columns_of_numbers_to_the_right_and_only_these():
    text = show.table(["who", "nats", "why"], [["MADE", "17.3 ± 0.1", "2 left"], ["", "–", "all"]]).data
    right = 'style="text-align: right"'
    assert text.count(right) == 3
    assert f'<th scope="col" {right}>nats</th>' in text
    assert f"<td {right}>–</td>" in text
    assert "<caption>" not in text
    assert show.table(["a"], []).data.count("<th") == 2  # thead and one title


def test_names_of_rows_stand_at_the_left_and_infinity_is_a_number():
    text = show.table(["units", "nats"], [[16, "inf"], [500, 17.3]]).data
    assert '<th scope="col">units</th><th scope="col" style="text-align: right">nats</th>' in text
    assert '<td style="text-align: right">inf</td>' in text
    assert show.table(["a", "b"], []).data.count("<th ") == 2


def test_table_names_a_row_of_another_length():
    with pytest.raises(ValueError, match=r"rows\[1\] has 1 cells, columns has 2 titles"):
        show.table(["a", "b"], [[1, 2], [3]])


def test_digest_tells_shape_mean_and_range():
    assert show.digest(torch.tensor([[0.0, 1.0], [1.0, 2.0]])) == "shape (2, 2), mean 1.00, min 0.00, max 2.00"
    assert show.digest([1, 2], digits=1) == "shape (2,), mean 1.5, min 1.0, max 2.0"


def test_images_shows_every_row_and_marks_the_unknown():
    x = torch.rand(5, 16)
    x[1, 3] = torch.nan
    fig = show.images(x, columns=3, titles=list("abcde"))
    axes = fig.axes
    assert len(axes) == 6
    for k in range(5):
        image = axes[k].images[0]
        assert np.array_equal(np.ma.filled(image.get_array(), np.nan), x[k].view(4, 4).numpy(), equal_nan=True)
        assert axes[k].get_title() == "abcde"[k]
        assert image.get_clim() == (0, 1)
    assert not axes[5].images
    assert axes[0].images[0].cmap(np.ma.masked_invalid([np.nan]))[0] == pytest.approx(to_rgba(show.ORANGE))


def test_images_labels_and_colours_the_rows_of_its_grid():
    fig = show.images(torch.rand(4, 4), columns=2, rows=["given", "expected"], colours=["Greys", "Oranges"])
    assert [ax.get_ylabel() for ax in fig.axes] == ["given", "", "expected", ""]
    assert [ax.images[0].cmap.name for ax in fig.axes] == ["Greys", "Greys", "Oranges", "Oranges"]
    assert [ax.images[0].cmap.name for ax in show.images(torch.rand(2, 4), 1, colours="Purples").axes] == [
        "Purples"
    ] * 2
    for name, value in {"rows": ["one"], "colours": ["Greys"] * 3}.items():
        with pytest.raises(ValueError, match=f"^{name} must have one entry for each of the 2 rows of the grid, got"):
            show.images(torch.rand(4, 4), columns=2, **{name: value})


def test_a_figure_tells_what_is_drawn():
    """So nbval notices another drawing: the numbers of every kind of mark are in the figure's text form."""
    values = np.array([1.0, 2.0, 6.0])
    marks = {
        "1 line, x mean 1, min 0, max 2, y mean 3, min 1, max 6": lambda ax: ax.plot(values),
        "1 image, colour mean 3, min 1, max 6": lambda ax: ax.imshow(values[None]),
        "3 bars, x mean 0.8, min 0.8, max 0.8, y mean 3, min 1, max 6": lambda ax: ax.bar(range(3), values),
        "3 bars, x mean 3, min 1, max 6, y mean 0.8, min 0.8, max 0.8": lambda ax: ax.barh(range(3), values),
    }
    for said, draw in marks.items():
        fig, ax = show.figure()
        draw(ax)
        assert repr(fig) == f"<Figure size 720x300 with 1 Axes: {said}>"
    drawn = set()
    for other in (values, values * 2):
        for draw in (lambda ax, y: ax.scatter(y, y), lambda ax, y: ax.fill_between(range(3), y)):
            fig, ax = show.figure()
            draw(ax, other)
            drawn.add(repr(fig))
    assert len(drawn) == 4
    fig, ax = show.figure()
    ax.pcolormesh(values[None])
    assert repr(fig).endswith("colour mean 3, min 1, max 6>")
    assert repr(show.figure()[0]) == "<Figure size 720x300 with 1 Axes: >"
    assert "image, colour mean 0.5" in repr(show.images(torch.tensor([[0.5] * 3 + [torch.nan]])))


def test_images_may_be_oblong():
    assert show.images(torch.rand(2, 6), side=2).axes[0].images[0].get_array().shape == (2, 3)


@pytest.mark.parametrize(("shape", "side"), [((2, 7), None), ((9,), None), ((2, 9), 2)])
def test_images_refuses_what_is_no_rectangle(shape, side):
    with pytest.raises(ValueError, match=r"x must have shape \(N, side \* width\)"):
        show.images(torch.rand(shape), side=side)


def test_masks_draws_each_mask_and_who_sees_whom():
    fig = show.masks(C)
    drawn = [torch.from_numpy(ax.images[0].get_array().filled()) for ax in fig.axes]
    assert len(drawn) == 4
    for found, expected in zip(drawn, [*C.masks(), C.reachable()], strict=True):
        assert torch.equal(found.bool(), expected)


def test_of_a_model_the_connectivity_in_use_is_drawn():
    model = made.MADE(3, (4, 5), order="random", n_masks=2, seed=3)
    model.use(1)
    for draw in (show.masks, show.network):
        drawn, expected = (draw(c) for c in (model, model.connectivities[1]))
        assert len(drawn.axes) == len(expected.axes)
        for a, b in zip(drawn.axes, expected.axes, strict=True):
            assert [t.get_text() for t in a.texts] == [t.get_text() for t in b.texts]
            assert [line.get_xydata().tolist() for line in a.lines] == [line.get_xydata().tolist() for line in b.lines]
            assert [np.array_equal(i.get_array(), j.get_array()) for i, j in zip(a.images, b.images, strict=True)] == [
                True
            ] * len(a.images)


@pytest.mark.parametrize("draw", [show.masks, show.network])
@pytest.mark.parametrize(
    "value", [made.Autoencoder(3, (4,), 2), C.masks(), 3, None, made.masks], ids=lambda v: type(v).__name__
)
def test_what_has_no_connectivity_is_refused(draw, value):
    with pytest.raises(TypeError, match=r"^connectivity must be a made.Connectivity or a made.MADE, got "):
        draw(value)


def test_numbers_of_numpy_are_numbers_and_bools_are_not():
    x = torch.rand(3, 4)
    assert len(show.images(x, columns=np.int64(2), side=np.int8(2)).axes) == 4
    assert show.digest(x, np.int64(1)) == show.digest(x, 1)
    assert len(show.autoencoder(np.array([3, 2])).axes) == 1
    assert show.network(C, np.int64(1)).axes
    for name, draw in {
        "columns": lambda v: show.images(x, columns=v),
        "side": lambda v: show.images(x, side=v),
        "digits": lambda v: show.digest(x, v),
        "widths": lambda v: show.autoencoder([3, v]),
        "highlight": lambda v: show.network(C, v),
    }.items():
        for value in (True, 1.5, -1):
            with pytest.raises(
                ValueError, match=f"^{name} must be an int of at least . got {value}".replace(". got", ".*, got")
            ):
                draw(value)
    with pytest.raises(ValueError, match=r"highlight must be in 0..2, got 3"):
        show.network(C, 3)


def test_drawing_does_not_ask_for_the_default_device():
    model, x = made.MADE(3, (4,)), torch.rand(2, 4)
    drawings = (
        lambda: show.masks(model),
        lambda: show.network(model, 1),
        lambda: show.images(x),
        lambda: show.images(x.tolist()),
        lambda: show.dependencies(C.reachable(), titles=["one"]),
    )
    expected = show.digest(x.tolist())
    with torch.device("meta"):
        assert show.digest(x) == show.digest(x.tolist()) == expected
        for draw in drawings:
            draw()


def test_dependencies_draws_matrices_side_by_side():
    a, b = C.reachable(), C.direct_mask().T
    fig = show.dependencies(a, b, titles=["one", "two"])
    assert [ax.get_title() for ax in fig.axes] == ["one", "two"]
    assert torch.equal(torch.from_numpy(fig.axes[1].images[0].get_array().filled()).bool(), b)
    with pytest.raises(ValueError):
        show.dependencies(a, b, titles=["one"])


def test_autoencoder_draws_every_unit_and_every_weight():
    ax = show.autoencoder([4, 3, 2]).axes[0]
    assert len(ax.collections) == 4 + 3 + 2 + 3 + 4
    assert len(ax.lines) == 4 * 3 + 3 * 2 + 2 * 3 + 3 * 4
    assert {"input x", "code z"} <= {text.get_text() for text in ax.texts}


@pytest.mark.parametrize("highlight", [None, 0, 1, 2])
def test_network_draws_every_unmasked_weight_and_lights_the_paths(highlight):
    ax = show.network(C, highlight).axes[0]
    assert len(ax.lines) == sum(int(mask.sum()) for mask in C.masks())
    labels = [int(t.get_text()) for t in ax.texts if t.get_text().isdigit()]
    assert labels == [d for layer in [*C.degrees, C.degrees[0]] for d in layer.tolist()]
    lit = sum(line.get_color() == show.BLUE for line in ax.lines)
    if highlight is None or highlight == 2:  # variable 2 comes first and sees nothing
        assert lit == 0
    else:
        assert 0 < lit <= len(ax.lines)
    edges = {
        name: [tuple(c.get_edgecolor()[0]) for c in ax.collections if c.get_offsets()[0][1] == height]
        for name, height in {"inputs": 0, "outputs": 3}.items()
    }
    seen = [edge == to_rgba(show.BLUE) for edge in edges["inputs"]]
    assert seen == (C.reachable()[highlight].tolist() if highlight is not None else [True] * 3)
    assert [edge == to_rgba(show.ORANGE) for edge in edges["outputs"]] == [i == highlight for i in range(3)]


def test_history_draws_both_curves_and_the_kept_epoch():
    record = History([3.0, 2.0, 1.0], [3.0, 1.5, 2.0], best_epoch=1)
    ax = show.history(record)
    train, valid, kept = ax.lines
    assert train.get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]]
    assert valid.get_xydata().tolist() == [[1, 3], [2, 1.5], [3, 2]]
    assert kept.get_xydata().tolist() == [[2, 1.5]]
    assert show.history(record, ax) is ax
    assert len(show.history(History([1.0])).lines) == 1


def test_drawing_leaves_the_global_style():
    before = dict(plt.rcParams)
    show.masks(C)
    show.images(torch.rand(2, 4))
    assert dict(plt.rcParams) == before
