"""Tuning of a step size to a desired acceptance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, Kernel, Numbers, State, one

GAMMA, T0, KAPPA = 0.05, 10.0, 0.75  # as in the paper
FEWEST_STEPS = 50  # of burn-in, for an average worth the name


class Tuned(Kernel[State]):
    r"""Tunes the step size of a kernel to an acceptance by Nesterov's dual averaging.

    $\log \epsilon_{m+1} = \mu - \frac{\sqrt m}{\gamma} H_m$, where $H_m$ is the mean of target minus acceptance so far, with
    early moves forgotten. What is frozen at the end is the average of $\log \epsilon$.

    Args:
        step_size: where it begins, or what it is without a target.
        target_acceptance: mean acceptance over all walkers that is wanted; None: the step size is as given.

    Raises:
        ValueError: a number out of range.

    References:
        Hoffman, Gelman, J. Mach. Learn. Res. 15, 1593 (2014), arXiv:1111.4246, section 3.2.
    """

    def __init__(self, step_size: float, target_acceptance: float | None) -> None:
        name = type(self).__name__
        if not step_size > 0:
            raise ValueError(f"{name} needs step_size > 0, got {step_size}.")
        if target_acceptance is not None and not 0 < target_acceptance < 1:
            raise ValueError(f"{name} needs a target_acceptance between 0 and 1, got {target_acceptance}.")
        self.step_size, self.target_acceptance = step_size, target_acceptance
        self.reset()

    @property
    def adapts(self) -> bool:  # type: ignore[override]
        return self.target_acceptance is not None

    def reset(self) -> None:
        self._step = self.step_size
        self._mean_error, self._averaged, self._updates = 0.0, 0.0, 0.0

    def adapt(self, info: Info) -> None:
        if self.target_acceptance is None:
            return
        self._updates += 1
        m = self._updates
        self._mean_error += (self.target_acceptance - info.acceptance.mean().item() - self._mean_error) / (m + T0)
        log_step = math.log(10 * self.step_size) - math.sqrt(m) / GAMMA * self._mean_error
        weight = m**-KAPPA
        self._averaged = weight * log_step + (1 - weight) * self._averaged
        self._step = math.exp(log_step)

    def freeze(self) -> None:
        if self._updates:
            self._step = math.exp(self._averaged)

    def memory(self) -> dict[str, Tensor]:
        found = [self._step, self._mean_error, self._averaged, self._updates]
        return {"tuning": torch.tensor(found, dtype=torch.float64)}

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        self._step, self._mean_error, self._averaged, self._updates = memory["tuning"].tolist()

    def measure(self, acceptance: Tensor) -> dict[str, Tensor]:
        """Return the sums of a move from its probabilities of acceptance."""
        return {"acceptance": acceptance, "moves": one(acceptance)}

    def status(self, measured: Mapping[str, Tensor]) -> str:
        if not measured:
            return f"step size {self._step:.3g}"
        return f"acceptance {self._acceptance(measured):.2f}"

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        return {"acceptance": self._acceptance(measured), "step_size": self._step}, []

    def _acceptance(self, measured: Mapping[str, Any]) -> float:
        return float(measured["acceptance"].mean() / measured["moves"].clamp_min(1))
