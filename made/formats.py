"""Model files: what they hold, and how those of older versions are read."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from made.checks import plain
from made.files import read_tensors
from made.likelihoods import Likelihood, from_config, to_config

__all__ = ["FORMAT", "from_format_1", "from_plain", "read_model", "to_plain"]

FORMAT = "made.MADE/2"


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors of a model file, in the present format whatever the file's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no model file.

    Example:
        >>> import tempfile
        >>> import made
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made.MADE(3, hidden=(4,)).save(folder + "/m.safetensors")
        ...     config, tensors = read_model(folder + "/m.safetensors")
        >>> config["class"], config["hidden"], tensors["output.weight"].shape
        ('MADE', [4], torch.Size([3, 4]))
    """
    found, config, tensors = read_tensors(path, FORMAT, "made.MADE/1")
    if found != FORMAT:
        config, tensors = from_format_1(config, tensors)
    return config, tensors


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
                share = [block[:, size:].sum(1, keepdim=True) / size for block, size in zip(blocks, inputs, strict=True)]
                blocks = [b[:, :size] + s for b, s, size in zip(blocks, share, inputs, strict=True)]
            values = torch.cat([values[:, :C], *blocks], 1)
            if kind == "companion":
                values = values * (values.shape[1] / n)
        kept[name] = values[outputs] if layer in ("output", "direct") else values
    return config, {name: values.contiguous() for name, values in kept.items()}


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
