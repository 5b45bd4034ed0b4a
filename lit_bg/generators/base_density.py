"""Where a continuous flow starts: densities that can be sampled, in units of the data's own width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy, Symmetry


class BaseDensity(nn.Module, ABC):
    """A normalised density in the reference measure of the system, with samples (n, *event_shape).

    `symmetries` are moves of all particles that leave it as it is, and `exchangeable` says that exchanges of particles of one
    type do. A class whose density integrates to one says `normalised = True` itself; a subclass does not inherit the word
    (`is_normalised`).
    """

    normalised: bool = False

    symmetries: frozenset[Symmetry] = frozenset()
    exchangeable: bool = False

    @abstractmethod
    def build(self, energy: Energy) -> Self:
        """Take shapes from the system."""

    @abstractmethod
    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z (n, *event_shape) and log p(z) (n,)."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), (B,) [nats]."""


def is_normalised(base: nn.Module) -> bool:
    """Say whether the very class of a base declares that its density integrates to one: log Z rests on nothing else."""
    return vars(type(base)).get("normalised") is True
