"""Model files: what they hold, and how those of older versions are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from made.checks import plain
from made.files import read_tensors, write_tensors
from made.likelihoods import Likelihood
from made.masks import Connectivity

__all__ = [
    "FORMAT",
    "Converted",
    "Saved",
    "check_complete",
    "from_config",
    "from_format_1",
    "from_plain",
    "subclass_named",
]
__all__ += ["to_config", "to_plain"]

FORMAT = "made.MADE/2"


class Converted(nn.Module):
    """A model with a likelihood that is not converted to a dtype in which values of its support would merge.

    Example:
        >>> import made
        >>> made.Autoencoder(2, likelihood=made.Categorical(260)).bfloat16()
        Traceback (most recent call last):
        TypeError: torch.bfloat16 holds the whole numbers from 0 to 256 only, too few for Categorical(k=260)
    """

    likelihood: Likelihood

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or convert; called by ``to()``, ``half()`` and the like."""
        self.likelihood.check_dtype(fn(next(self.parameters())[:0].detach()).dtype)
        return super()._apply(fn, recurse)


class Saved(Converted):
    """A model that can be written to a file and read again; what :class:`~made.model.MADE` is made of.

    It has a ``config``, a list of ``connectivities`` and the ``connectivity`` in use. A subclass may take other
    arguments; a saved model carries those it was made with.

    Example:
        >>> import tempfile
        >>> import made
        >>> class Digits(made.MADE):
        ...     def __init__(self, width):
        ...         super().__init__(64, hidden=(width, width))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Digits(20).save(folder + "/m.safetensors")
        ...     again = made.MADE.load(folder + "/m.safetensors")
        >>> type(again).__name__, again.config.hidden
        ('Digits', (20, 20))
    """

    config: Any
    connectivity: Connectivity
    connectivities: list[Connectivity]
    made_with: Any
    use: Callable[..., None]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Take down what a subclass with another constructor is made with."""
        model = super().__new__(cls)
        try:
            own = cls.__init__ is not cls.base().__init__
            model.__dict__["made_with"] = to_plain((args, kwargs)) if own else None
        except TypeError as error:
            model.__dict__["made_with"] = error  # which saving will raise
        return model

    @classmethod
    def base(cls) -> type[Saved]:
        """The class whose arguments ``config`` holds."""
        return cls.__mro__[cls.__mro__.index(Saved) - 1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, configuration and every connectivity to one safetensors file, all of it or nothing.

        Raises:
            OSError: the file cannot be written.
            TypeError: an argument of the likelihood, or of a subclass with another constructor, is no plain data.

        Example:
            >>> import tempfile
            >>> import made
            >>> model = made.MADE(3, hidden=(4,), order="random", seed=1)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     model.save(folder + "/m.safetensors")
            ...     again = made.MADE.load(folder + "/m.safetensors")
            >>> again.connectivity == model.connectivity
            True
        """
        if isinstance(self.made_with, TypeError):
            raise TypeError(f"{type(self).__name__} cannot be saved: {self.made_with}") from self.made_with
        tensors = {name: t.contiguous() for name, t in self.state_dict().items() if isinstance(t, Tensor)}
        for k, connectivity in enumerate([self.connectivity, *self.connectivities]):
            tensors |= {f"connectivity.{k}.{layer}": d.clone() for layer, d in enumerate(connectivity.degrees)}
        config = {"class": type(self).__name__, "made_with": self.made_with, **self.config.to_dict()}
        write_tensors(path, tensors, FORMAT, config)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Read a model written by :meth:`save`, in evaluation mode: same class, weights, connectivities, choice.

        Args:
            path: of the file. Files of version 0.1.0 are read too, and score the same.
            device: where to put the model; default: where PyTorch would.
            dtype: of the weights, such as ``torch.float32`` for a file that holds half precision, in which a CPU is
                slow; default: the one of the file.

        Raises:
            TypeError: ``dtype`` is no floating dtype of PyTorch, or values of the likelihood would merge in it.
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or was written by something else, or needs a class that is not defined.
        """
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise TypeError(f"dtype must be a floating dtype of PyTorch, such as torch.float32, got {dtype!r}")
        found, config, tensors = read_tensors(path, FORMAT, "made.MADE/1")
        try:
            with torch.device("cpu"):
                if found != FORMAT:
                    config, tensors = from_format_1(config, tensors)
                model = cls.rebuild(config, tensors)
        except NameError as error:
            raise ValueError(f"{os.fspath(path)} needs a class that is not defined: {error}") from error
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)} is damaged: {error}") from error
        return model.to(torch.get_default_device() if device is None else device, dtype).eval()

    @classmethod
    def rebuild(cls, config: dict[str, Any], tensors: dict[str, Any]) -> Any:
        """Make a model from what a file holds; one of this class where the file holds a plain one."""
        named, made_with = subclass_named(cls.base(), config.pop("class")), config.pop("made_with")
        config["likelihood"] = from_config(config["likelihood"])
        args, kwargs = from_plain(made_with) if made_with else ((), config)
        model = (cls if named is cls.base() else named)(*args, **kwargs)
        current, *rest = (
            [tensors.pop(f"connectivity.{k}.{layer}") for layer in range(len(model.config.hidden) + 1)]
            for k in range(len(model.connectivities) + 1)
        )
        model.to(dtype=tensors["output.weight"].dtype)
        model.load_state_dict({**tensors, "_extra_state": {"current": current, "connectivities": rest}})
        return model

    def extra_repr(self) -> str:
        """Configuration, for ``print(model)``."""
        shown = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self.config).items()}
        hidden = {"likelihood"} if self.config.input_dropout else {"likelihood", "input_dropout"}  # unknown to 0.1.0
        return ", ".join(f"{name}={value}" for name, value in shown.items() if name not in hidden)

    def get_extra_state(self) -> dict[str, Any]:
        """The connectivities, so that ``state_dict()`` holds them beside the weights."""
        return {
            "current": list(self.connectivity.degrees),
            "connectivities": [list(c.degrees) for c in self.connectivities],
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the connectivities and the choice among them; called by ``load_state_dict()``."""

        def connectivity(degrees: list[Tensor]) -> Connectivity:
            return Connectivity(degrees[0].cpu().argsort(-1), tuple(d.cpu() for d in degrees))

        self.connectivities = [connectivity(degrees) for degrees in state["connectivities"]]
        self.use(connectivity(state["current"]))


def from_format_1(config: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What version 0.1.0 wrote, in the present format: the same distribution.

    Scales were exponentials of raw outputs, and every column of a table was as wide as the widest.

    Example:
        >>> config, _ = from_format_1({"likelihood": {"name": "Gaussian", "min_scale": 0.001}}, {})
        >>> config["likelihood"]
        {'name': 'Gaussian', 'min_scale': 0.001, 'scale_map': 'exp'}
    """
    likelihood = dict(config["likelihood"])
    columns = [dict(column) for column in likelihood.get("columns", [])]
    for one in (likelihood, *columns):
        if "min_scale" in one:
            one["scale_map"] = "exp"
    config = {**config, "class": "MADE", "made_with": None, "likelihood": likelihood}
    if not columns:
        return config, tensors

    E, K, C = likelihood.pop("n_inputs"), likelihood.pop("n_params"), config["context_features"]
    likelihood["columns"] = columns
    inputs, params = from_config(likelihood).sizes(len(columns))
    outputs = [i * K + k for i, size in enumerate(params) for k in range(size)]
    first = "hidden.0" if config["hidden"] else "output"
    kept = {}
    for name, values in tensors.items():
        layer, _, kind = name.rpartition(".")
        if layer in (first, "direct") and kind in ("weight", "companion"):
            blocks, n = values[:, C:].split(E, 1), values.shape[1]
            if kind == "weight":
                blocks = [block[:, :size] for block, size in zip(blocks, inputs, strict=True)]
            else:  # a mean over all inputs: those that stay take over the share of those that go
                share = [
                    block[:, size:].sum(1, keepdim=True) / size for block, size in zip(blocks, inputs, strict=True)
                ]
                blocks = [b[:, :size] + s for b, s, size in zip(blocks, share, inputs, strict=True)]
            values = torch.cat([values[:, :C], *blocks], 1)
            if kind == "companion":
                values = values * (values.shape[1] / n)
        kept[name] = values[outputs] if layer in ("output", "direct") else values
    return config, {name: values.contiguous() for name, values in kept.items()}


def to_config(likelihood: Likelihood) -> dict[str, Any]:
    """Describe a likelihood, a dataclass, in plain data: its name and its arguments.

    Raises:
        TypeError: an argument is no plain data.

    Example:
        >>> import made
        >>> to_config(made.Categorical(3))
        {'name': 'Categorical', 'k': 3}
    """
    config: dict[str, Any] = {"name": type(likelihood).__name__}
    for argument in fields(likelihood):  # type: ignore[arg-type]
        value = getattr(likelihood, argument.name)
        config[argument.name] = (
            [to_config(c) for c in value] if argument.name == "columns" else plain(argument.name, value)
        )
    return config


def from_config(config: dict[str, Any]) -> Likelihood:
    """Make the likelihood that :func:`to_config` described.

    Raises:
        NameError: no likelihood of that name is defined.

    Example:
        >>> from_config({"name": "Categorical", "k": 3})
        Categorical(k=3)
    """
    values = {name: _as_tuple(value) for name, value in config.items() if name != "name"}
    if "columns" in values:
        values["columns"] = [from_config(column) for column in values["columns"]]
    return subclass_named(Likelihood, config["name"])(**values)


def _as_tuple(value: Any) -> Any:
    """Lists, in which files keep tuples, as tuples again: a likelihood must be hashable."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def subclass_named(base: type, name: str) -> Any:
    """The class of that name among a class and all that are derived from it, anywhere; of several, the newest.

    Raises:
        NameError: there is none.

    Example:
        >>> subclass_named(Likelihood, "Nowhere")
        Traceback (most recent call last):
        NameError: there is no Likelihood named 'Nowhere' here: import the module that defines it, then try again
    """
    found, derived = None, [base]
    while derived:
        one = derived.pop(0)
        found = one if one.__name__ == name else found
        derived += one.__subclasses__()
    if found is None:
        raise NameError(
            f"there is no {base.__name__} named {name!r} here: import the module that defines it, then try again"
        )
    return found


def check_complete(likelihood: Any) -> None:
    """Refuse a likelihood that lacks what training, sampling or saving needs; for those that users write.

    Raises:
        TypeError: it is no likelihood or no frozen dataclass, has no ``n_params`` or ``support``, or an argument is no
            plain data.

    Example:
        >>> class Own(Likelihood): distribution = sample = outside_support = None
        >>> check_complete(Own())
        Traceback (most recent call last):
        TypeError: likelihood Own must be decorated with @dataclass(frozen=True), to be compared and saved
    """
    name = type(likelihood).__name__
    if not isinstance(likelihood, Likelihood):
        raise TypeError(f"likelihood must be a made likelihood such as made.Bernoulli(), got {likelihood!r}")
    if not is_dataclass(likelihood) or type(likelihood).__hash__ is None:
        raise TypeError(f"likelihood {name} must be decorated with @dataclass(frozen=True), to be compared and saved")
    for attribute in ("n_params", "support"):
        if not hasattr(likelihood, attribute):
            raise TypeError(f"likelihood {name} must have the attribute {attribute!r}; see made.Likelihood")
    if likelihood.outside_support(
        likelihood.filled(torch.full((likelihood.n_features or 1,), torch.nan, device="cpu"))
    ).any():
        raise TypeError(f"likelihood {name} must have a placeholder in its support, got {likelihood.placeholder!r}")
    to_config(likelihood)


def to_plain(value: Any) -> Any:
    """Arguments of a constructor as plain data, a likelihood by its description.

    Raises:
        TypeError: one cannot be told in plain data.

    Example:
        >>> import made
        >>> to_plain((3, {"likelihood": made.Categorical(4)}))
        [3, {'likelihood': {'likelihood': {'name': 'Categorical', 'k': 4}}}]
    """
    if isinstance(value, Likelihood):
        return {"likelihood": to_config(value)}
    if isinstance(value, dict):
        return {name: to_plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(one) for one in value]
    return plain("argument", value.tolist() if isinstance(value, Tensor) else value)


def from_plain(value: Any) -> Any:
    """The arguments that :func:`to_plain` has told.

    Example:
        >>> from_plain([3, {"likelihood": {"likelihood": {"name": "Categorical", "k": 4}}}])
        [3, {'likelihood': Categorical(k=4)}]
    """
    if isinstance(value, dict) and set(value) == {"likelihood"} and "name" in value["likelihood"]:
        return from_config(value["likelihood"])
    if isinstance(value, dict):
        return {name: from_plain(one) for name, one in value.items()}
    return [from_plain(one) for one in value] if isinstance(value, list) else value
