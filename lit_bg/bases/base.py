"""Contract of bases: densities that a flow starts from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.spaces import Space, Symmetry


class BaseDensity(nn.Module, ABC):
    """Defines a normalised density in the reference measure of a space, with samples (n, *shape).

    It lives in the space it is built for: that of the system, in units of the width of the data, or the canonical coordinates
    of a flow. `symmetries` are moves of all particles that leave it as it is, and `exchangeable` says that exchanges of
    particles of one type do. A class whose density integrates to one says `normalised = True` itself; a subclass does not
    inherit the word (`is_normalised`).
    """

    normalised: bool = False

    symmetries: frozenset[Symmetry] = frozenset()
    exchangeable: bool = False
    space: Space  # where samples lie

    @abstractmethod
    def build(self, energy: Energy, space: Space | None = None) -> Self:
        """Take shape and measure from a space, by default that of the system, and from the system what else is needed.

        Raises:
            ValueError: base and system do not fit, with the way out.
        """

    @abstractmethod
    def sample(self, n: int, rng: torch.Generator) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, "n"]]:
        """Draw z, (n, *shape), with log p(z), (n,)."""

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
        """Return log p(z), (B,) [nats]."""


def is_normalised(base: nn.Module) -> bool:
    """Say whether the very class of a base declares that its density integrates to one: log Z rests on nothing else."""
    return vars(type(base)).get("normalised") is True
