"""Another system as base density."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.spaces import Space


class Known(BaseDensity):
    r"""Takes another system, whose samples and partition function are known exactly, as the base: $p(z) = e^{-u(z)} / Z$.

    Args:
        energy: it, of the same shape, in units of the width of the data.

    Raises:
        ValueError: an energy without exact samples or log Z; from `build`, another shape or symmetry under translations.
    """

    normalised = True
    where: Tensor

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        if not energy.has_exact_samples or energy.log_Z is None:
            raise ValueError(
                f"{type(energy).__name__} has no exact samples or no exact log Z: it cannot be a base; use Normal."
            )
        self.energy, self.known_log_Z = energy, energy.log_Z

    def build(self, energy: Energy, space: Space | None = None) -> Self:
        own, theirs = self.energy.space, energy.space if space is None else space
        if not own.shares_measure_with(theirs):
            raise ValueError(
                f"{type(self.energy).__name__} lives on {own} and {type(energy).__name__} on {theirs}: they differ in "
                "shape or in what translations do; use Normal."
            )
        self.space = theirs
        self.symmetries = self.energy.symmetries
        self.exchangeable = own.types is not None and own.types == theirs.types
        self.register_buffer("where", torch.zeros(()), persistent=False)
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        z = self.energy.exact_samples(n, rng).to(self.where)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        return -self.energy(z) - self.known_log_Z
