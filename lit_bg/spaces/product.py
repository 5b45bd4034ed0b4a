"""The product of two spaces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit_bg.spaces.base import Space
from lit_bg.spaces.domain import Domain


@dataclass(frozen=True)
class Product(Space):
    """Packs configurations of two spaces into one vector, such as particles and the logarithm of a volume.

    The measure is the product of both. `split` and `join` lead from the vector to the parts and back.

    Args:
        a, b: the parts.

    >>> from lit_bg.spaces import Particles, Vectors
    >>> Product(Particles(4, 3), Vectors(1)).dof
    10
    """

    a: Space
    b: Space

    @property
    def shape(self) -> tuple[int]:
        return (self.a.dim + self.b.dim,)

    @property
    def dof(self) -> int:
        return self.a.dof + self.b.dof

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        return self.a.continuous and self.b.continuous

    @property
    def domain(self) -> Domain:
        return Domain(*(torch.cat(pair) for pair in zip(self.a.domain, self.b.domain, strict=True)))

    def split(self, x: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B *a"], Float[Tensor, "B *b"]]:
        """Return the parts of configurations (B, D), in their own shapes."""
        parts = x.split([self.a.dim, self.b.dim], -1)
        return parts[0].reshape(-1, *self.a.shape), parts[1].reshape(-1, *self.b.shape)

    def join(self, a: Float[Tensor, "B *a"], b: Float[Tensor, "B *b"]) -> Float[Tensor, "B D"]:
        """Return the parts as one vector, (B, D)."""
        return torch.cat([a.flatten(1), b.flatten(1)], -1)

    def contains(self, x: Float[Tensor, "B *shape"]) -> Bool[Tensor, "B"]:
        a, b = self.split(x)
        return self.a.contains(a) & self.b.contains(b)

    def noise(self, n: int, rng: torch.Generator, dtype: torch.dtype | None = None) -> Float[Tensor, "n *shape"]:
        return self.join(self.a.noise(n, rng, dtype), self.b.noise(n, rng, dtype))

    def shares_measure_with(self, other: Space) -> bool:
        same = isinstance(other, Product)
        return same and self.a.shares_measure_with(other.a) and self.b.shares_measure_with(other.b)  # type: ignore[attr-defined]

    def project(self, v: Float[Tensor, "B *shape"], mass: Float[Tensor, "*#shape"] | None = None) -> Float[Tensor, "B *shape"]:
        """Project both parts; `mass`, where it is given, has one value per coordinate, (D,)."""
        a, b = self.split(v)
        if mass is None:
            return self.join(self.a.project(a), self.b.project(b))
        own, others = mass.expand(self.shape).split([self.a.dim, self.b.dim])
        return self.join(self.a.project(a, own.reshape(self.a.shape)), self.b.project(b, others.reshape(self.b.shape)))

    def wrap(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        a, b = self.split(x)
        return self.join(self.a.wrap(a), self.b.wrap(b))

    def difference(self, x: Float[Tensor, "B *shape"], y: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        (a, b), (c, d) = self.split(x), self.split(y)
        return self.join(self.a.difference(a, c), self.b.difference(b, d))

    @property
    def bounded(self) -> bool:
        return self.a.bounded or self.b.bounded

    @property
    def unbounded(self) -> bool:
        return self.a.unbounded and self.b.unbounded

    @property
    def units_shape(self) -> tuple[int]:
        return (self.a.dim + self.b.dim,)

    def measure_units(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
        found = [s.measure_units(part) for s, part in zip((self.a, self.b), self.split(x), strict=True)]
        sizes = (self.a.dim, self.b.dim)
        loc, width = (torch.cat([f[k].expand(n) for f, n in zip(found, sizes, strict=True)]) for k in (0, 1))
        return loc, width

    def __str__(self) -> str:
        return f"{self.a} and {self.b}"
