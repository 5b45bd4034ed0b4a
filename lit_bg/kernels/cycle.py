"""Kernels that take turns."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, Kernel, State
from lit_bg.kernels.composite import Composite, named


class Cycle(Composite):
    """Makes one move of every kernel, one after the other in a fixed order.

    Each leaves exp(-u) as it is, so their sequence does, though it is in detailed balance only as a whole with its reverse. The
    acceptance is the mean of theirs; each is tuned by its own.

    Args:
        kernels: in the order in which they move.

    Raises:
        ValueError: no kernel, or replica exchange among them.

    References:
        Tierney, Ann. Stat. 22, 1701 (1994), doi:10.1214/aos/1176325750.
    """

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        super().__init__(kernels)

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return sum(kernel.evaluations for kernel in self.kernels)

    def duration(self, energy: Energy) -> tuple[float, str] | None:
        found = [passed for kernel in self.kernels if (passed := kernel.duration(energy)) is not None]
        return (sum(time for time, _ in found), found[0][1]) if found else None

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        parts = []
        for kernel in self.kernels:
            state, info = kernel.step(energy, state, rng)
            parts.append(info)
        acceptance = torch.stack([part.acceptance for part in parts]).mean(0)
        ratios = [part.log_ratio for part in parts if part.log_ratio is not None]
        log_ratio = torch.stack(ratios).sum(0) if ratios else None
        return state, Info(acceptance, named([part.measured for part in parts]), tuple(parts), log_ratio)
