"""Spins on the sites of a lattice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit_bg.spaces.base import Space
from lit_bg.spaces.domain import Domain
from lit_bg.spaces.lattice import check_sizes


@dataclass(frozen=True)
class Spins(Space):
    """Puts one of q states on every site of a lattice, measured by counting: log Z is the logarithm of a sum over states.

    Two states are -1 and +1, more are 0, 1 to q - 1; both are held as floating-point numbers, like all configurations. There
    are no gradients, so dynamics and flows do not apply, and `dof`, the dimension of the measure, is 0.

    Args:
        sizes: of the lattice, (L,), (L, L) and so on.
        states: q.

    Raises:
        ValueError: no sizes, or fewer than two states.

    >>> Spins((2, 2)).noise(1, torch.Generator().manual_seed(0)).shape
    torch.Size([1, 2, 2])
    """

    continuous = False

    sizes: tuple[int, ...]
    states: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", check_sizes(type(self).__name__, self.sizes))
        if self.states < 2:
            raise ValueError(f"Spins need two states or more, got {self.states}.")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sizes

    @property
    def dof(self) -> int:
        return 0

    @property
    def values(self) -> Float[Tensor, "q"]:
        """Return the values of the states, (q,)."""
        return torch.tensor([-1.0, 1.0]) if self.states == 2 else torch.arange(self.states, dtype=torch.float32)

    @property
    def domain(self) -> Domain:
        raise TypeError(f"{self} live on no lines: generators for continuous coordinates do not apply.")

    def contains(self, x: Float[Tensor, "B *shape"]) -> Bool[Tensor, "B"]:
        return torch.isin(x, self.values.to(x)).flatten(1).all(1)

    def noise(self, n: int, rng: torch.Generator, dtype: torch.dtype | None = None) -> Float[Tensor, "n *shape"]:
        """Draw n configurations uniformly, each with probability q^-N: there are no displacements between states."""
        index = torch.randint(self.states, (n, *self.shape), generator=rng, device=rng.device)
        return self.values.to(rng.device, dtype or torch.get_default_dtype())[index]

    def measure_units(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
        raise TypeError(f"{self} have no unit of length.")

    def __str__(self) -> str:
        return f"spins of {self.states} states on {' x '.join(map(str, self.sizes))} sites"
