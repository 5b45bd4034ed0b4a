"""Mixtures of kernels, of which one is drawn for every move."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import NOTHING, Info, Kernel, State
from lit_bg.kernels.composite import Composite, named


class Mixture(Composite):
    """Moves by one kernel, drawn anew for every move, the same for all walkers.

    The draw does not look at the walkers, so where each kernel leaves exp(-u) as it is, and in detailed balance, the mixture
    does. A kernel is tuned by its own moves alone.

    Args:
        kernels: to draw from.
        weights: how often each is drawn, up to a factor; None: equally often.

    Raises:
        ValueError: no kernel, another number of weights, or one that is not positive.

    References:
        Tierney, Ann. Stat. 22, 1701 (1994), doi:10.1214/aos/1176325750.
    """

    def __init__(self, kernels: Sequence[Kernel], weights: Sequence[float] | None = None) -> None:
        super().__init__(kernels)
        if weights is not None and (len(weights) != len(kernels) or not all(w > 0 for w in weights)):
            raise ValueError(f"Mixture of {len(kernels)} kernels needs as many positive weights, got {list(weights)}.")
        self.weights = weights

    @property
    def probabilities(self) -> list[float]:
        """Return how often each kernel is drawn."""
        weights = [1.0] * len(self.kernels) if self.weights is None else self.weights
        return [w / sum(weights) for w in weights]

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return max(kernel.evaluations for kernel in self.kernels)

    def duration(self, energy: Energy) -> tuple[float, str] | None:
        """Return the mean time of a move."""
        passed = [(p, kernel.duration(energy)) for p, kernel in zip(self.probabilities, self.kernels, strict=True)]
        found = [(p * time[0], time[1]) for p, time in passed if time is not None]
        return (sum(time for time, _ in found), found[0][1]) if found else None

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        p = torch.tensor(self.probabilities, dtype=torch.float64, device=rng.device)
        drawn = int(torch.multinomial(p, 1, generator=rng))
        state, info = self.kernels[drawn].step(energy, state, rng)
        parts = [info if k == drawn else None for k in range(len(self.kernels))]
        measured = named([part.measured if part else NOTHING for part in parts])
        return state, Info(info.acceptance, measured, tuple(parts), info.log_ratio)
