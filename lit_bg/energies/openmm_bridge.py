"""Potential energy and forces of a molecule from OpenMM, one configuration at a time in each of several processes."""

from __future__ import annotations

import os
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lit_bg.energies.openmm_pool import OpenMMPool
from lit_bg.energies.openmm_worker import choose_platform, evaluate_by_openmm, make_context

__all__ = ["OpenMMEvaluator", "Potential", "choose_platform", "cores"]


class OpenMMEvaluator:
    """Evaluates energies and forces of a System.

    It holds the System as text, and makes the Context when it is first asked. Copies and pickles carry the
    text alone, so they work in other processes and checkpoints hold no object of OpenMM.

    A configuration with NaN, or so overlapping that its energy is no finite number, has energy +inf and zero force.

    Args:
        system: a serialized System (XML).
        platform: OpenMM's name; None takes the faster one of Reference and CPU.
        processes: that share a batch, each with a Context of its own; None: one per core. They start with the
            first batch of at least two configurations for each of two processes, smaller ones are evaluated in
            the calling process, and they end with `close`, with this object, or with the calling process.
        properties: of the platform, such as {"DeviceIndex": "0", "Precision": "mixed"} of CUDA.

    Raises:
        ValueError: less than one process; with the first batch, a platform or property OpenMM does not have here.
        RuntimeError: a process died while it worked.
    """

    def __init__(
        self,
        system: str,
        platform: str | None = None,
        processes: int | None = 1,
        properties: dict[str, str] | None = None,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError(f"OpenMM needs at least one process, got processes={processes}; null takes one per core.")
        self.system = system
        self.platform = platform
        self.processes = processes
        self.properties = properties
        self._context: Any = None
        self._pool: OpenMMPool | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_context": None, "_pool": None}

    @property
    def context(self) -> Any:
        """Return the Context of the calling process."""
        if self._context is None:
            self._context = make_context(self.system, self.platform, self.properties)
            _LIVE.add(self)
        return self._context

    def energy(self, x: Tensor, groups: set[int] | None = None) -> Tensor:
        """Return the potential energy (B,) float64 [kJ/mol] of x (B, N, 3) [nm], of some force groups if these are given."""
        return self._evaluate(x, False, groups)[0]

    def energy_and_forces(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return potential energy (B,) [kJ/mol] and forces (B, N, 3) [kJ/mol/nm], float64, from one call per configuration."""
        energy, forces = self._evaluate(x, True, None)
        assert forces is not None  # for the type checker
        return energy, forces

    def close(self) -> None:
        """End the processes and drop the Context; the next call makes them again."""
        if self._pool is not None:
            self._pool.end()
        self._pool = self._context = None

    def _evaluate(self, x: Tensor, forces: bool, groups: set[int] | None) -> tuple[Tensor, Tensor | None]:
        positions = np.ascontiguousarray(x.detach().to("cpu", torch.float64).numpy())
        workers = min(cores() if self.processes is None else self.processes, len(positions) // 2)
        if workers > 1:
            if self._pool is None or not self._pool.end.alive:
                self._pool = OpenMMPool((self.system, self.platform, self.properties), self.processes or cores())
                _LIVE.add(self)
            energy, force = self._pool.evaluate(positions, workers, forces, groups)
        else:
            energy, force = evaluate_by_openmm(self.context, positions, forces, groups)
        device = x.device
        return torch.from_numpy(energy).to(device), None if force is None else torch.from_numpy(force).to(device)


_LIVE: weakref.WeakSet[OpenMMEvaluator] = weakref.WeakSet()


def _forget_in_child() -> None:
    """Forget Context and processes in a fork, such as a worker of a DataLoader, which makes its own.

    The threads of an inherited Context do not exist there, so that even its destructor would wait for ever; and
    messages through inherited pipes would get between those of the parent.
    """
    for evaluator in list(_LIVE):
        if evaluator._context is not None:
            evaluator._context.thisown = False
        evaluator._context = evaluator._pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Potential(torch.autograd.Function):
    """Gives U(x) with gradient -F, both from one call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, evaluator: OpenMMEvaluator) -> Tensor:
        energy, forces = evaluator.energy_and_forces(x)
        ctx.save_for_backward(forces.to(x.dtype))
        return energy.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (forces,) = ctx.saved_tensors
        # An infinite energy has zero force; a loss may still send it an infinite or NaN gradient.
        return -torch.where(forces == 0, 0.0, grad[:, None, None] * forces), None
