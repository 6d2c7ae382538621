"""A model known only by its callables: it is asked, and nothing is assumed about its inside."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from made.checks import number, seed_number, tensor
from made.masks import degrees_from_order

__all__ = ["DRAWS", "MAX_STATES", "RARE", "Drawn", "Finding", "Foreign", "Report", "cells", "every_row", "fit"]
__all__ += ["shortfall", "spacing", "unless", "violations"]

MAX_STATES = 2**20
DRAWS = 2**14  # rows drawn to test a sampler
RARE = 1e-6  # a p-value below is no accident
_FEW = 256  # rows drawn to see where they lie
_LEAST = 20  # drawn rows expected in a cell, at least
_ROUNDING = 16  # steps of the dtype at a usual number: what is smaller may be rounding
_CALLED = 2**12  # variables in a call that is repeated
_CHANGED = 2**14  # variables that are changed in a row, at most: of many values of many variables some are tried
_POINTS = 16  # random rows at which slopes are taken
_BASES = 8  # random rows whose variables are changed one at a time
_CHUNK = 2**14  # rows of a call
_UNSEEN = math.log(1e4)  # so many rows may be expected of a kind, and yet none come: a chance of 1e-4
_CUTS = {1: 2**14, 2: 512, 3: 64}  # cells of the grid along each real variable
_BLOCK = {1: 2**8, 2: 16, 3: 4}  # cells of the grid that make one cell for drawn rows
_REACH = 6.0  # the grid reaches sinh(6), about 200 standard deviations


class _NotRunError(Exception):
    """Why a test cannot be run."""


class _FaultError(Exception):
    """What is wrong with a model, where a test cannot go on."""


@dataclass(frozen=True)
class Finding:
    """What one test found: its name, whether it passed (None: it was not run), and what is to be said of it."""

    name: str
    passed: bool | None
    said: str

    @property
    def outcome(self) -> str:
        """In words: passed, failed or not run."""
        return {True: "passed", False: "failed", None: "not run"}[self.passed]


@dataclass(frozen=True)
class Report:
    """What all tests found. ``passed`` is True where none failed; printed, it is a line for every test."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no test failed."""
        return all(finding.passed is not False for finding in self.findings)

    def __getitem__(self, name: str) -> Finding:
        """What the test of this name found."""
        return {finding.name: finding for finding in self.findings}[name]

    def __str__(self) -> str:
        wrapped = []
        for finding in self.findings:
            head = f"{finding.name:<9}{finding.outcome:<9}"
            wrapped += textwrap.wrap(finding.said, 79, initial_indent=head, subsequent_indent=" " * len(head))
        return "\n".join(wrapped)

    def _repr_markdown_(self) -> str:
        lines = [f"| {finding.name} | {finding.outcome} | {finding.said} |" for finding in self.findings]
        return "\n".join(["| test | outcome | found |", "|:--|:--|:--|", *lines])


class Drawn(NamedTuple):
    """How drawn rows fit a distribution: chi-squared, its degrees of freedom, and the chance of as large a one."""

    chi_squared: float
    freedom: int
    p_value: float


def violations(dependencies: Tensor, order: Tensor) -> list[str]:
    """Say in words what keeps a dependency matrix from being autoregressive; an empty list if nothing does.

    Args:
        dependencies: bool (D, D), entry [i, j] is True if output i sees input j.
        order: permutation of 0..D-1, ``order[t]`` is the variable generated at step t.

    Example:
        >>> violations(torch.tensor([[False, True], [True, True]]), torch.tensor([0, 1]))
        ['output 0 sees variable 1, which is generated later', 'output 1 sees variable 1 itself']
    """
    degrees = degrees_from_order(order)
    found = []
    for i, j in dependencies.nonzero().tolist():
        if i == j:
            found.append(f"output {i} sees variable {j} itself")
        elif degrees[j] > degrees[i]:
            found.append(f"output {i} sees variable {j}, which is generated later")
    return found


def unless(faults: Sequence[str], otherwise: str) -> tuple[bool, str]:
    """Whether there are no faults, and what is to be said: the first of them, or else what is true without any.

    Example:
        >>> unless(["output 0 sees variable 0 itself", "output 1 sees variable 1 itself"], "all is well")
        (False, 'output 0 sees variable 0 itself (1 more)')
        >>> unless([], "all is well")
        (True, 'all is well')
    """
    if not faults:
        return True, otherwise
    return False, faults[0] + (f" ({len(faults) - 1} more)" if len(faults) > 1 else "")


def every_row(values: Sequence[Tensor]) -> Tensor:
    """All rows that can be made of the values of each variable, shape (S, D), in counting order.

    Raises:
        ValueError: there are more than 2**20.

    Example:
        >>> every_row([torch.tensor([0, 1]), torch.tensor([5, 7])]).tolist()
        [[0, 5], [0, 7], [1, 5], [1, 7]]
    """
    n = math.prod(map(len, values))
    if n > MAX_STATES:
        raise ValueError(f"model has {n} states, more than the {MAX_STATES} that can be enumerated")
    return torch.cartesian_prod(*values).reshape(-1, len(values))


def spacing(D: int, finer: int = 1, *, double: bool = True) -> tuple[Tensor, Tensor]:
    """A grid over all real numbers, dense at 0: midpoints of its cells, and the length of each.

    Points are sinh(t) of equally spaced t, for which sums converge fast to integrals of smooth densities.

    Args:
        D: number of variables, 1 to 3.
        finer: 1, or a divisor of the number of cells, for a coarser grid.
        double: in float64.

    Example:
        >>> points, lengths = spacing(1)
        >>> round(float((lengths * (-(points**2) / 2).exp()).sum() / (2 * math.pi) ** 0.5), 12)
        1.0
    """
    n = _CUTS[D] // finer
    step = 2 * _REACH / n
    t = -_REACH + step * (torch.arange(n, dtype=torch.float64, device="cpu") + 0.5)
    return t.sinh(), t.cosh() * step


def cells(expected: Tensor) -> Tensor:
    """Put outcomes together until rows enough are expected of each cell, as chi-squared asks for.

    Outcomes of similar probability are put together.

    Args:
        expected: how many rows are expected of each outcome, shape (S,).

    Returns:
        The number of the cell of each outcome, shape (S,).

    Example:
        >>> cells(torch.tensor([30.0, 1.0, 50.0, 25.0, 14.0, 8.0]))
        tensor([2, 0, 3, 1, 0, 0])
    """
    ranked, place = expected.sort()
    small = ranked < _LEAST
    ends = ranked[small].cumsum(0)
    last = max(int(ranked[small].sum() // (2 * _LEAST)) - 1, 0)
    first = ((ends - ranked[small]) // (2 * _LEAST)).long().clamp(max=last)
    alone = ranked[small].sum() < _LEAST  # too few even together: they join the next cell
    large = torch.arange(int((~small).sum()), device=expected.device) + (last + 1 if small.any() and not alone else 0)
    cell = torch.empty_like(place)
    cell[place] = torch.cat([first, large])
    return cell


def fit(expected: Tensor, found: Tensor) -> tuple[Tensor, int, Tensor]:
    r"""Pearson's chi-squared of frequencies: how far they are from those expected, and how rare that is.

    .. math:: \chi^2 = \sum_c \frac{(n_c - e_c)^2}{e_c}

    Args:
        expected: how many rows are expected of each outcome, shape (S,), float64.
        found: how many came, shape (..., S).

    Returns:
        Chi-squared, its degrees of freedom, and its p-value.

    Example:
        >>> fit(torch.tensor([50.0, 50.0], dtype=torch.float64), torch.tensor([60, 40]))
        (tensor(4., dtype=torch.float64), 1, tensor(0.0455, dtype=torch.float64))
    """
    cell = cells(expected)
    wanted = expected.new_zeros(int(cell.max()) + 1).index_add(0, cell, expected)
    came = expected.new_zeros(*found.shape[:-1], len(wanted)).index_add(-1, cell, found.to(expected))
    chi_squared, freedom = ((came - wanted) ** 2 / wanted).sum(-1), len(wanted) - 1
    half = torch.tensor(freedom / 2, dtype=expected.dtype, device=expected.device)
    return chi_squared, freedom, torch.special.gammaincc(half, chi_squared / 2)


def shortfall(deviation: Tensor, n: int, log_states: float) -> Tensor:
    r"""How far the mean cost of rows may lie below the entropy of their source by chance, at most once in 10 000 times.

    .. math:: 4 \frac{s}{\sqrt N} + \frac{c}{N} \log\frac{S N}{c}, \qquad c = \log 10^4

    The first term is four standard errors. The second is for rare rows, which cost most: of a kind with the
    probability c/N there may be none among the N, and then no standard error knows of it.

    Args:
        deviation: standard deviation of the costs of the rows, in nats, of any shape.
        n: number N of rows.
        log_states: logarithm of the number S of possible rows; 0 for real numbers, whose costs have no bound.

    Example:
        >>> round(float(shortfall(torch.tensor(1.0), 10_000, math.log(64))), 3)
        0.05
    """
    return 4 * deviation / math.sqrt(n) + _UNSEEN / n * max(log_states + math.log(n / _UNSEEN), 0)


class Foreign:
    """What can be asked of any autoregressive model: everything is found out by calling it.

    Args:
        outputs: from rows (B, D), and contexts (B, C) if there are any, to raw parameters (B, D) or (B, D, K).
        order: permutation of 0..D-1, ``order[t]`` is the variable generated at step t.
        log_prob: from rows (B, D) to nats (B,); default: of Bernoulli logits, where ``outputs`` can be such.
        sample: called with a number n and a generator, gives rows (n, D).
        values: of every variable, or a list of values for each; None for real numbers.
        context: one context (C,), or several (N, C).
        rows: of a source, shape (N, D).
        entropy: of the source, in nats.
        seed: of all that is drawn.
        dtype: of the rows the model is called with; default: that of context or rows, else PyTorch's default.
        device: likewise; default: the CPU.

    Example:
        >>> model = Foreign(lambda x: 2 * x.cumsum(1), [0, 1])  # each output sees its own variable
        >>> model.slopes
        tensor([[ True, False],
                [ True,  True]])
    """

    def __init__(
        self,
        outputs: Callable[..., Tensor],
        order: Sequence[int] | Tensor,
        log_prob: Callable[[Tensor], Tensor] | None = None,
        sample: Callable[[int, torch.Generator], Tensor] | None = None,
        values: Any = (0.0, 1.0),
        context: Tensor | None = None,
        rows: Tensor | None = None,
        entropy: float | None = None,
        seed: int = 0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        for name, function in (("outputs", outputs), ("log_prob", log_prob), ("sample", sample)):
            if not (callable(function) or (function is None and name != "outputs")):
                raise TypeError(f"{name} must be callable, got {function!r}")
        if (rows is None) != (entropy is None):
            raise ValueError("rows and entropy must be given together, one of them is None")
        self.outputs, self.scores, self.sampler = outputs, log_prob, sample
        try:
            order = torch.as_tensor(order, device="cpu")
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"order must be a permutation of 0..D-1, got {order!r}") from error
        self.degrees = degrees_from_order(order)
        if self.degrees.dim() != 1:
            raise ValueError(f"order must be one permutation, shape (D,), got {tuple(self.degrees.shape)}")
        self.order = self.degrees.argsort()
        self.D, self.seed = len(self.order), seed_number("seed", seed)
        floats = [one for one in (context, rows) if isinstance(one, Tensor) and one.is_floating_point()]
        self.dtype = dtype or (floats[0].dtype if floats else torch.get_default_dtype())
        if not isinstance(self.dtype, torch.dtype) or not self.dtype.is_floating_point:
            raise TypeError(f"dtype must be a floating one, such as torch.float64, got {dtype!r}")
        self.device = torch.device(device or (floats[0].device if floats else "cpu"))
        self.values = None if values is None else self._each(values)
        self.context = None if context is None else self._contexts(context)
        self.rows = None if rows is None else self._source(rows)
        self.entropy = math.nan if entropy is None else number("entropy", entropy, -math.inf, math.inf)
        self.generator = torch.Generator().manual_seed(self.seed)

    def _each(self, values: Any) -> list[Tensor]:
        """The values of every variable."""
        wrong = f"values must be different finite numbers, or a list of such for each variable, or None, got {values!r}"
        try:
            lists = values if torch.as_tensor(values[0]).dim() else [values] * self.D
            found = [torch.as_tensor(one, dtype=self.dtype, device=self.device) for one in lists]
        except (TypeError, ValueError, RuntimeError, LookupError) as error:
            raise ValueError(wrong) from error
        if len(found) != self.D:
            raise ValueError(f"values must be given once, or for each of {self.D} variables, got {len(found)} lists")
        for one in found:
            if one.dim() != 1 or len(one) == 0 or len(one.unique()) < len(one) or not one.isfinite().all():
                raise ValueError(wrong)
        return found

    def _contexts(self, context: Tensor) -> Tensor:
        if not isinstance(context, Tensor) or context.dim() not in (1, 2) or context.numel() == 0:
            raise ValueError(f"context must be a tensor of shape (C,) or (N, C), got {context!r}")
        if not context.is_floating_point() and (context.dim() < 2 or len(context) < 2):
            raise ValueError(f"context of whole numbers must have several rows (N, C), got {context.tolist()}")
        return context.detach().to(self.device).reshape(-1, context.shape[-1])

    def _source(self, rows: Any) -> Tensor:
        found = tensor("rows", rows, self.dtype).detach().to(self.device)
        if found.dim() != 2 or found.shape[1] != self.D or found.isnan().any():
            raise ValueError(f"rows must have shape (N, {self.D}) and no gaps, got {tuple(found.shape)}")
        for i, own in enumerate(self.values or []):
            strange = found[~torch.isin(found[:, i], own), i]
            if len(strange):
                raise ValueError(f"rows must hold values, got {strange[0].item():g} for variable {i}")
        return found

    def examine(self, **tests: Callable[[], tuple[bool, str]]) -> Report:
        """Run tests by name, each of which says whether it passed and what it found.

        PyTorch's global generators, which the model may use, are set back at the end; that of the CPU starts from the
        seed.
        """
        devices = [] if self.device.type == "cpu" else [self.device]
        findings = []
        with torch.random.fork_rng(devices, device_type=self.device.type if devices else "cuda"):
            torch.default_generator.manual_seed(self.seed)
            for name, test in tests.items():
                try:
                    passed, said = test()
                except _NotRunError as reason:
                    passed, said = None, str(reason)
                except _FaultError as fault:
                    passed, said = False, str(fault)
                findings.append(Finding(name, passed, said))
        return Report(tuple(findings))

    def ask(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Raw parameters of rows, shape (B, D, K)."""
        context = self.context[:1] if self.context is not None and context is None else context
        given = [] if context is None else [context.expand(len(x), -1).clone()]
        found = self.outputs(x.clone(), *given)  # what it does to its copies is its own affair
        if not isinstance(found, Tensor) or not found.is_floating_point():
            got = found.dtype if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(f"outputs must return a tensor of floats, got {got}")
        if found.dim() not in (2, 3) or found.shape[:2] != x.shape:
            B, D = x.shape
            raise ValueError(f"outputs must have shape ({B}, {D}) or ({B}, {D}, K), got {tuple(found.shape)}")
        if found.isnan().any():
            raise _FaultError("outputs hold NaN")
        return found.reshape(*x.shape, -1).clone()  # it may write its next outputs into the same memory

    def random_rows(self, n: int) -> Tensor:
        """Rows of values drawn evenly, or of normal numbers where real rows lie, shape (n, D)."""
        if self.values is None:
            drawn = torch.randn(n, self.D, generator=self.generator, dtype=torch.float64, device="cpu")
            centre, scale = self._where
            return (centre + scale * drawn).to(self.device, self.dtype)
        draw = lambda one: one[torch.randint(len(one), (n,), generator=self.generator, device="cpu").to(self.device)]
        return torch.stack([draw(one) for one in self.values], 1)

    def random_contexts(self, n: int) -> Tensor | None:
        """Rows of the context drawn with replacement."""
        if self.context is None:
            return None
        chosen = torch.randint(len(self.context), (n,), generator=self.generator, device="cpu")
        return self.context[chosen.to(self.device)]

    @cached_property
    def _gradients(self) -> tuple[Tensor, Tensor | None]:
        """Where the outputs of each variable have slopes along x (D, D), and along the context (D, C)."""
        with torch.inference_mode(False), torch.enable_grad():
            x, context = self.random_rows(_POINTS).requires_grad_(), self.random_contexts(_POINTS)
            along = [x]
            if context is not None and context.is_floating_point():
                along.append(context.requires_grad_())
            try:
                found = self.ask(x, context)
                if not found.requires_grad:
                    raise _NotRunError("outputs have no derivative: they are cut off from x")
                both = self._along(found, along)
            except RuntimeError as error:  # what is wrong without gradients too will be raised by the flips
                raise _NotRunError(f"outputs cannot be asked with gradients: {str(error).splitlines()[0]}") from error
        if any(part.isnan().any() for part in both):
            raise _FaultError("slopes of outputs are NaN")
        by_x, by_context = both[0].abs().amax(0), (both[1] != 0).any(0) if len(both) > 1 else None
        return by_x, by_context

    def _along(self, outputs: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        """Slopes of a random sum of the outputs for each variable, along inputs (N, C): (N, D, C) for each of them."""
        weights = torch.randn(outputs.shape, generator=self.generator, dtype=torch.float64, device="cpu").to(outputs)
        rows: list[list[Tensor]] = []
        for i in range(self.D):
            slopes = torch.autograd.grad((outputs * weights)[:, i].sum(), inputs, retain_graph=True, allow_unused=True)
            rows.append([torch.zeros_like(a) if s is None else s for s, a in zip(slopes, inputs, strict=True)])
        return [torch.stack(part, 1) for part in zip(*rows, strict=True)]

    @property
    def slopes(self) -> Tensor:
        """Entry [i, j] is True if an output for variable i has a slope along input j at a random row; (D, D)."""
        found = self._gradients[0].cpu()
        if self.D > 1 and not found.any():
            raise _NotRunError("outputs have no derivative along x: x enters them in another way, or not at all")
        return self._beyond_rounding(found)

    @property
    def flips(self) -> Tensor:
        """Entry [i, j] is True if an output for variable i moves when variable j is changed; (D, D)."""
        return self._beyond_rounding(self._moves)

    @cached_property
    def _moves(self) -> Tensor:
        """How far outputs for variable i move at most when variable j is changed, (D, D)."""
        moved = torch.zeros(self.D, self.D, dtype=self.dtype, device=self.device)
        with torch.no_grad():
            for base in self.random_rows(_BASES).split(1):
                context = self.random_contexts(1)
                same = base.repeat(self.D, 1)
                before = self.ask(same, context)
                for changed in self._changes(same):  # row j differs in variable j only
                    after = self.ask(changed, context)
                    move = torch.where(after == before, 0.0, (after - before).abs())  # infinite ones may be equal
                    moved = torch.maximum(moved, move.amax(-1).T)
        return moved.cpu()

    def _beyond_rounding(self, sizes: Tensor) -> Tensor:
        """Where sizes are larger than rounding of the usual allowed one, (D, D)."""
        allowed = self.degrees[:, None] > self.degrees
        usual = sizes[allowed & (sizes > 0) & sizes.isfinite()]
        rounding = _ROUNDING * torch.finfo(self.dtype).eps * float(usual.median()) if len(usual) else 0.0
        found, faint = sizes > rounding, violations(sizes > 0, self.order)
        if faint and not violations(found, self.order):
            more = "" if self.dtype == torch.float64 else ": ask in torch.float64"
            raise _NotRunError(f"{unless(faint, '')[1]}, by so little that it may be rounding{more}")
        return found

    def _changes(self, same: Tensor) -> list[Tensor]:
        """Copies of equal rows, in each of which row j has another value of variable j: all others, or many of them."""
        if self.values is None:
            drawn = torch.randn(self.D, generator=self.generator, dtype=torch.float64, device="cpu")
            return [same + torch.diag((self._where[1] * drawn).to(same))]
        found, most = [], max(_CHANGED // self.D, 1)
        shifts = 1 + torch.randperm(max(map(len, self.values)) - 1, generator=self.generator, device="cpu")[:most]
        for shift in shifts.tolist():
            changed = same.clone()
            for j, own in enumerate(self.values):
                now = int((own == same[j, j]).nonzero()[0])
                changed[j, j] = own[(now + shift) % len(own)]
            found.append(changed)
        return found

    @cached_property
    def unsteady(self) -> list[str]:
        """What changes the outputs of a row although the row is the same."""
        with torch.no_grad():
            n = max(_POINTS, _CALLED // self.D)
            x, context = self.random_rows(n), self.random_contexts(1)
            before = self.ask(x, context)
            if not torch.equal(before, self.ask(x, context)):
                return ["two equal calls give different outputs"]
            others, kept = self.random_rows(n), [0, -1]  # rows may hear those before them, or those after
            others[kept] = x[kept]
            if not torch.equal(before[kept], self.ask(others, context)[kept]):
                return ["outputs of a row change with the other rows of its batch"]
            tolerance = torch.finfo(before.dtype).eps ** 0.5
            if not torch.allclose(self.ask(x.flip(0), context).flip(0), before, tolerance, tolerance):
                return ["outputs of a row change with its place in the batch"]
            alone = self.ask(x[:1], context)[0]
            if not torch.allclose(alone, before[0], tolerance, tolerance):
                return ["outputs of a row alone differ from those in a batch"]
        return []

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of rows in nats, float64, shape (B,)."""
        parts = []
        with torch.no_grad():
            for some in x.split(_CHUNK):
                found = self._bernoulli(some) if self.scores is None else self.scores(some.clone())
                if not isinstance(found, Tensor) or found.shape != some.shape[:1]:
                    got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                    raise ValueError(f"log_prob must return a tensor of shape {tuple(some.shape[:1])}, got {got}")
                parts.append(found.double())
        found = torch.cat(parts)
        if found.isnan().any():
            raise _FaultError("log_prob gives NaN")
        return found

    def _bernoulli(self, x: Tensor) -> Tensor:
        logits = self.ask(x)
        if logits.shape[-1] > 1 or self.values is None or any(one.tolist() != [0, 1] for one in self.values):
            raise _NotRunError("needs log_prob: outputs are no Bernoulli logits of values 0 and 1")
        signed = torch.where(x == 1, logits[..., 0], -logits[..., 0])  # infinite ones may be
        return torch.nn.functional.logsigmoid(signed).sum(1)

    @cached_property
    def masses(self) -> Tensor:
        """Probabilities of all rows (S,); of real variables those of boxes, which cover the space; float64."""
        if self.values is None:
            return self._boxes()
        if math.prod(map(len, self.values)) > MAX_STATES:
            raise _NotRunError(f"{self.D} variables have more than {MAX_STATES} states: too many to enumerate")
        return self.log_prob(every_row(self.values)).exp()

    def _boxes(self) -> Tensor:
        if self.D not in _CUTS:
            raise _NotRunError(f"{self.D} real variables are too many for an integral on a grid, 3 are not")
        centre, scale = self._where
        if (torch.finfo(self.dtype).eps * centre.abs() > 1e-2 * scale).any():
            raise _NotRunError(f"rows lie far from 0 and close together, for {self.dtype}: ask in torch.float64")
        fine, coarse = self._grid(1), self._grid(2)
        if fine.sum() < 1e-3:
            known = self.rows is not None or self.sampler is not None
            raise _NotRunError(
                "a grid where rows lie misses the density"
                if known
                else "a grid at 0 misses the density: rows or sample would say where it is"
            )
        if abs(fine.sum() - coarse.sum()) > 1e-4:
            raise _NotRunError(f"no grid is fine enough: {coarse.sum():.4f}, with half the step {fine.sum():.4f}")
        outermost = sum(float(fine.select(i, end).sum()) for i in range(self.D) for end in (0, -1))
        if outermost * _CUTS[self.D] / (2 * _REACH) > 1e-4:  # a tail as 1/x has as much beyond
            raise _NotRunError("the tails of the density are too heavy: they reach beyond the grid")
        edges = _CUTS[self.D] // _BLOCK[self.D]
        blocks = fine.reshape(*[size for _ in range(self.D) for size in (edges, _BLOCK[self.D])])
        return blocks.sum(tuple(range(1, 2 * self.D, 2))).flatten()

    def _grid(self, finer: int) -> Tensor:
        """Probability of every cell of the grid."""
        centre, scale = self._where
        points, lengths = spacing(self.D, finer)
        rows = every_row([centre[i] + scale[i] * points for i in range(self.D)])
        volume = every_row([scale[i] * lengths for i in range(self.D)]).prod(1)
        found = self.log_prob(rows.to(self.device, self.dtype)).exp().cpu() * volume
        return found.reshape([len(points)] * self.D)

    @cached_property
    def _where(self) -> tuple[Tensor, Tensor]:
        """Where real rows lie: centre and scale of every variable, of the source's or else of drawn rows."""
        known = self.rows
        if known is None and self.sampler is not None:
            with suppress(_FaultError):  # it is told where the sampler is tested
                known = self.drawn
        if known is None:
            return torch.zeros(self.D, dtype=torch.float64), torch.ones(self.D, dtype=torch.float64)
        known = known.double().cpu()
        scale = known.std(0)
        return known.median(0).values, torch.where(scale > 0, scale, 1.0)

    @property
    def total(self) -> float:
        """The sum of the probabilities of all rows, or the integral of the density."""
        return float(self.masses.sum())

    @property
    def tolerance(self) -> float:
        """How far rounding may take the total from 1."""
        return max(1e-4 if self.values else 1e-3, torch.finfo(self.dtype).eps ** 0.5)

    @cached_property
    def costs(self) -> Tensor:
        """Negative log-probability of each row of the source, in nats."""
        if self.rows is None:
            raise _NotRunError("needs rows of a source, and its entropy")
        if len(self.rows) < 100:
            raise _NotRunError(f"needs 100 rows, got {len(self.rows)}")
        return -self.log_prob(self.rows)

    @property
    def cost(self) -> float:
        """Mean cost of the source's rows, in nats."""
        return float(self.costs.mean())

    @property
    def slack(self) -> float:
        """How far chance may bring the cost below the entropy."""
        if self.cost == math.inf:  # a row that is impossible to the model
            return 0.0
        log_states = sum(math.log(len(one)) for one in self.values or [])
        return float(shortfall(self.costs.std(), len(self.costs), log_states))

    @property
    def said_of_cost(self) -> str:
        """The cost and the entropy in words."""
        return f"rows cost {self.cost:.3f} nats, their entropy is {self.entropy:.3f}, chance {self.slack:.3f}"

    @cached_property
    def drawn(self) -> Tensor:
        """Rows drawn from the model, shape (DRAWS, D); of many real variables fewer, which say where rows lie."""
        assert self.sampler is not None
        n = DRAWS if self.values is not None or self.D in _CUTS else _FEW
        with torch.no_grad():
            found = self.sampler(n, torch.Generator(self.device).manual_seed(self.seed))
        if not isinstance(found, Tensor) or found.shape != (n, self.D):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"sample must return a tensor of shape {(n, self.D)}, got {got}")
        if found.isnan().any():
            raise _FaultError("sample gives NaN")
        return found

    @property
    def _index(self) -> Tensor:
        """Which of the masses each drawn row belongs to."""
        index = torch.zeros(DRAWS, dtype=torch.long, device="cpu")
        for i, column in enumerate(self.drawn.to(self.dtype).double().cpu().T):
            if self.values is None:
                centre, scale = (part[i] for part in self._where)
                step = 2 * _REACH * _BLOCK[self.D] / _CUTS[self.D]
                size = _CUTS[self.D] // _BLOCK[self.D]
                place = (((column - centre) / scale).asinh() + _REACH).div(step).long().clamp(0, size - 1)
            else:
                own = self.values[i].double().cpu()
                equal, size = column[:, None] == own, len(own)
                if not equal.any(1).all():
                    strange = column[~equal.any(1)][0].item()
                    raise _FaultError(f"sample gives variable {i} the value {strange:g}, which is none of its values")
                place = equal.long().argmax(1)
            index = index * size + place
        return index

    @cached_property
    def frequencies(self) -> Drawn:
        """How well the frequencies of drawn rows fit their probabilities."""
        if self.sampler is None:
            raise _NotRunError("needs sample")
        total = self.total  # first, for a sampler may be slow: where there is nothing to compare with, none is drawn
        if abs(total - 1) > self.tolerance:
            raise _NotRunError(f"no frequencies to expect: the total probability is {total:.4g}")
        masses, index = self.masses.cpu(), self._index
        impossible = self.drawn[masses[index] == 0]
        if self.values is not None and len(impossible):
            raise _FaultError(f"sample gives {len(impossible)} rows that cannot be, such as {impossible[0].tolist()}")
        chi_squared, freedom, p_value = fit(masses * DRAWS / total, index.bincount(minlength=len(masses)))
        if freedom == 0:
            raise _NotRunError("nearly all probability is that of one row")
        return Drawn(float(chi_squared), freedom, float(p_value))

    @property
    def said_of_draws(self) -> str:
        """The frequencies in words, and whether the order could have been taken for its inverse unnoticed."""
        chi_squared, freedom, p = self.frequencies
        said = f"{DRAWS} rows drawn: chi-squared {chi_squared:.1f} ({freedom} d.o.f.), p = {p:.2g}"
        own = torch.equal(self.order[self.order], torch.arange(self.D, device="cpu"))
        return said + ("; the order is its own inverse: one for the other would not show" if own else "")

    @property
    def deaf(self) -> list[str]:
        """Which allowed dependencies are missing, and which outputs do not hear the context: at most one sentence."""
        if self.unsteady:
            raise _NotRunError(f"cannot tell: {self.unsteady[0]}")
        heard = self._moves > 0
        with suppress(_NotRunError):
            heard = heard | (self._gradients[0].cpu() > 0)
        missing, said = (self.degrees[:, None] > self.degrees) & ~heard, []
        if missing.any():
            steps = int(missing[self.order[1:], self.order[:-1]].sum())
            said.append(
                f"{int(missing.sum())} of {self.D * (self.D - 1) // 2} allowed dependencies are missing, "
                f"{steps} of {self.D - 1} immediate predecessors among them"
            )
        unheard = self.order[~self._hears_context[self.order]].tolist()
        if unheard:
            first = ", the first generated," if unheard[0] == self.order[0] else ""
            those = f"output {unheard[0]}{first} does" if len(unheard) == 1 else f"outputs {unheard} do"
            said.append(f"{those} not hear the context")
        return ["; ".join(said)] if said else []

    @property
    def _hears_context(self) -> Tensor:
        """Whether the outputs for each variable move with the context, shape (D,); all True without one."""
        if self.context is None:
            return torch.ones(self.D, dtype=torch.bool, device="cpu")
        x = self.random_rows(_POINTS)
        with torch.no_grad():
            several = torch.stack([self.ask(x, one) for one in self.context[:_POINTS].split(1)])
        heard = (several != several[:1]).any(-1).flatten(0, 1).any(0).cpu()
        with suppress(_NotRunError):
            along = self._gradients[1]
            heard = heard if along is None else heard | along.any(-1).cpu()
        return heard
