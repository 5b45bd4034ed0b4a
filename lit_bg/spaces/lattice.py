"""Real fields on the sites of a lattice."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lit_bg.spaces.base import Space


@dataclass(frozen=True)
class Lattice(Space):
    """Puts one real number on every site of a lattice, measured by Lebesgue: a field, whatever its rank, and no particles.

    Args:
        sizes: of the lattice, (L,), (L, L) and so on.

    Raises:
        ValueError: no sizes, or one below one.

    >>> Lattice((8, 8)).dof, Lattice((8, 8)).types
    (64, None)
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", check_sizes(type(self).__name__, self.sizes))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sizes

    def measure_units(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
        return x.mean().reshape(1), x.std(correction=0).reshape(1)

    def __str__(self) -> str:
        return f"a field on a lattice of {' x '.join(map(str, self.sizes))} sites"


def check_sizes(name: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of a lattice as a tuple.

    Raises:
        ValueError: no sizes, or one that is no whole number of at least one.
    """
    sizes = tuple(sizes)
    if not sizes or not all(isinstance(n, int) and n >= 1 for n in sizes):
        raise ValueError(f"{name} needs sizes of at least one site, such as (8, 8), got {sizes}.")
    return sizes
