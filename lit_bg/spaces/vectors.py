"""Vectors of coordinates of any kind."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit_bg.spaces.base import Space
from lit_bg.spaces.domain import Domain, Kind


class Vectors(Space):
    """Describes D coordinates, each on the line, on an interval or on a circle, measured by Lebesgue.

    Args:
        dim: D.
        domain: what each coordinate lives on; None: all on the line.

    Raises:
        ValueError: no coordinate, a domain of another length, or an interval without a length.

    >>> circle = Vectors(1, Domain(torch.tensor([Kind.CIRCULAR]), torch.tensor([0.0]), torch.tensor([6.0])))
    >>> circle.wrap(torch.tensor([[7.0]])), circle.difference(torch.tensor([[0.5]]), torch.tensor([[5.5]]))
    (tensor([[1.]]), tensor([[1.]]))
    """

    def __init__(self, dim: int, domain: Domain | None = None) -> None:
        if not isinstance(dim, int) or dim < 1:
            raise ValueError(f"Vectors need a whole number of coordinates, at least one, got {dim!r}.")
        domain = Domain.linear(dim) if domain is None else domain
        if domain.dim != dim:
            raise ValueError(f"Vectors of {dim} coordinates need a domain of as many, got {domain.dim}.")
        empty = (domain.kinds != Kind.LINEAR) & ~(domain.lower < domain.upper)
        if empty.any():
            raise ValueError(f"intervals need lower < upper, which coordinate {int(empty.nonzero()[0])} has not.")
        self._dim, self._domain, self._bounded = dim, domain, bool((domain.kinds == Kind.BOUNDED).any())

    @property
    def shape(self) -> tuple[int]:
        return (self._dim,)

    @property
    def domain(self) -> Domain:
        return self._domain

    @property
    def bounded(self) -> bool:
        return self._bounded

    def contains(self, x: Float[Tensor, "B *shape"]) -> Bool[Tensor, "B"]:
        lower, upper = self._domain.lower.to(x), self._domain.upper.to(x)
        bounded = (self._domain.kinds == Kind.BOUNDED).to(x.device)
        return super().contains(x) & (~bounded | ((x >= lower) & (x <= upper))).all(1)

    def _circles(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lower, upper = self._domain.lower.to(x), self._domain.upper.to(x)
        return (self._domain.kinds == Kind.CIRCULAR).to(x.device), lower, upper - lower

    def wrap(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        circular, lower, length = self._circles(x)
        return torch.where(circular, lower + torch.remainder(x - lower, length), x)

    def difference(self, x: Float[Tensor, "B *shape"], y: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        circular, _, length = self._circles(x)
        d = x - y
        return torch.where(circular, d - length * torch.round(d / length), d)

    @property
    def units_shape(self) -> tuple[int]:
        return (self._dim,)

    def measure_units(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
        return x.mean(0), x.std(0, correction=0)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Vectors) and self._dim == other._dim
        return same and all(torch.equal(a, b) for a, b in zip(self._domain, other._domain, strict=True))  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._dim)

    def __str__(self) -> str:
        return f"{self._dim} coordinate{'s' if self._dim > 1 else ''}"

    def __repr__(self) -> str:
        return f"Vectors({self._dim})" if self.unbounded else f"Vectors({self._dim}, {self._domain})"
