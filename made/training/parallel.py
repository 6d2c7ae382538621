"""Several processes that train one model together, each on its share of every batch."""

from __future__ import annotations

import atexit
import os
from typing import Any

import torch
from torch import distributed, nn

__all__ = ["Group"]


class Group:
    """The processes that train together: this one alone, or all that ``torchrun`` started.

    The network is small beside its data, so gradients are simply added up over all processes after each backward pass.

    Args:
        rank: number of this process.
        world: number of processes.

    Example:
        >>> group = Group.join()
        >>> group.world, group.sum(3, 4)
        (1, [3, 4])
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank, self.world = rank, world

    @classmethod
    def join(cls) -> Group:
        """The group that exists already, or that ``torchrun`` prepared, or this process alone."""
        if not distributed.is_available():
            return cls()
        if distributed.is_torchelastic_launched() and not distributed.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            distributed.init_process_group()
            atexit.register(distributed.destroy_process_group)
        if not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def sum(self, *numbers: float) -> list[float]:
        """Each number summed over all processes."""
        if self.world == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device="cpu")
        distributed.all_reduce(total)
        return total.tolist()

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        values = [value] * self.world
        if self.world > 1:
            distributed.all_gather_object(values, value)
        return values

    def share(self, module: nn.Module) -> None:
        """Give all processes the weights and buffers of the first."""
        if self.world > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                distributed.broadcast(tensor.data, 0)

    def add_gradients(self, module: nn.Module) -> None:
        """Sum every gradient over all processes; a process without rows adds zero."""
        if self.world > 1:
            for parameter in module.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                    distributed.all_reduce(parameter.grad)
