"""Another system as base density."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base_density import BaseDensity


class Known(BaseDensity):
    r"""Another system whose samples and partition function are known exactly, $p(z) = e^{-u(z)} / Z$.

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

    def build(self, energy: Energy) -> Self:
        theirs = (energy.event_shape, energy.translation_invariant)
        if (self.energy.event_shape, self.energy.translation_invariant) != theirs:
            raise ValueError(
                f"{type(self.energy).__name__} of shape {self.energy.event_shape} and {type(energy).__name__} of shape "
                f"{energy.event_shape} differ in shape or in what translations do: use Normal."
            )
        self.symmetries = self.energy.symmetries
        own, others = self.energy.types, energy.types
        self.exchangeable = own is not None and others is not None and torch.equal(own, others)
        self.register_buffer("where", torch.zeros(()), persistent=False)
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        z = self.energy.exact_samples(n, rng).to(self.where)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        return -self.energy(z) - self.known_log_Z
