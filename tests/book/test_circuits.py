"""The Chow-Liu tree that the experiment on circuits fits, against enumeration; its package, where there is one."""

import itertools
import sys
import types

import numpy as np
import pytest
import torch
from chapters import BOOK

import made

STATES = [2, 3, 2, 4]


@pytest.fixture(scope="module")
def circuits():
    sys.path.insert(0, str(BOOK / "experiments"))
    yield pytest.importorskip("circuits")
    sys.path.remove(str(BOOK / "experiments"))


def rows(n=300):
    """Rows of which some columns depend on others."""
    draw = np.random.default_rng(0)
    a, noise = draw.integers(0, 2, n), draw.random((3, n))
    b = np.where(noise[0] < 0.7, a, draw.integers(0, 3, n))
    c = np.where(noise[1] < 0.5, 1 - a, draw.integers(0, 2, n))
    d = np.where(noise[2] < 0.6, b + c, draw.integers(0, 4, n))
    return np.stack([a, b, c, d], 1)


def everything():
    return np.array(list(itertools.product(*map(range, STATES))))


@pytest.mark.parametrize("pseudocount", [0.1, 20])
def test_a_tree_sums_to_one_and_has_the_smoothed_tables_of_its_pairs(circuits, pseudocount):
    tree, values, data = circuits.Tree(rows(), STATES, pseudocount), everything(), rows()
    p = tree.log_prob(values).exp().numpy()
    assert p.sum() == pytest.approx(1)
    assert len(tree.edges) == len(STATES) - 1
    for i, j in tree.edges:
        for a, b in itertools.product(range(STATES[i]), range(STATES[j])):
            count = sum(1 for row in data if row[i] == a and row[j] == b)
            wanted = (count + pseudocount / (STATES[i] * STATES[j])) / (len(data) + pseudocount)
            assert p[(values[:, i] == a) & (values[:, j] == b)].sum() == pytest.approx(wanted)


def likelihood(data, parents):
    """The log-likelihood of rows under the directed tree with these parents, each table as counted: the slow way."""
    total = 0.0
    for row in data:
        for child, parent in enumerate(parents):
            like = data if parent is None else data[data[:, parent] == row[parent]]
            total += np.log((like[:, child] == row[child]).mean())
    return total


def test_no_other_tree_is_likelier(circuits):
    """All trees on four variables, each as the parents of its variables, the first being the root."""
    data = rows(120)
    trees = [
        (None, *parents)
        for parents in itertools.product(range(4), repeat=3)
        if all(reaches_root((None, *parents), child) for child in range(4))
    ]
    assert len(trees) == 16
    best = max(likelihood(data, parents) for parents in trees)
    found = circuits.Tree(data, STATES, 1e-9).log_prob(data).sum().item()
    assert found == pytest.approx(best, abs=1e-4)


def reaches_root(parents, child):
    for _ in parents:
        if parents[child] is None:
            return True
        child = parents[child]
    return False


def test_variables_have_as_many_states_as_their_groups(circuits):
    values = torch.from_numpy(np.column_stack([rows()[:, 3], rows()[:, 0]]))
    bits = torch.cat([torch.nn.functional.one_hot(values[:, 0], 4), values[:, 1:]], 1).float()
    groups = made.data.groups(bits)
    board = types.SimpleNamespace(groups=groups, train=bits)
    assert circuits.states(board, "some groups") == [4, 2]
    assert circuits.states(board, "some bits") == [2] * 5


def test_a_circuit_of_the_package_sums_to_one(circuits):
    pytest.importorskip("spflow")
    setting = {**circuits.ADAM, "hidden": 2, "epochs": 2}
    data = torch.from_numpy(rows()[:, [0, 2]]).float()
    few = types.SimpleNamespace(train=data, valid=data)
    circuit, how = circuits.train(few, "few bits", setting, 0)
    values = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)))
    assert circuits.log_prob(circuit, values).exp().sum().item() == pytest.approx(1)
    assert how["stopped"] == "epochs"
    assert len(how["valid_curve"]) == 2
