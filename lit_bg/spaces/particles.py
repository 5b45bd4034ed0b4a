"""Particles, free or in a periodic cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.spaces.base import Space
from lit_bg.spaces.domain import Domain, Kind


@dataclass(frozen=True)
class Particles(Space):
    r"""Describes N particles in d dimensions, free or in a periodic cell, with the centre of mass or without.

    | | centred | not centred |
    |---|---|---|
    | free | Lebesgue on the subspace of zero mean, $(N - 1) d$ dimensions, in an orthonormal basis | Lebesgue, $N d$ |
    | in a cell | configurations up to translations, locally the same $(N - 1) d$ dimensions | Lebesgue on the cell, $N d$ |

    A cluster that nothing holds in its place is centred, since no density over all of space is normalised; a molecule in an
    external field is not. In a cell of volume V translations are a compact group, and both measures exist:
    $\log Z_{\text{not centred}} = \log Z_{\text{centred}} + \log V + \frac{d}{2} \log N$.

    Args:
        n: N.
        d: dimensions of space.
        types: (N,) numbers; the energy does not change when particles of one type change places. None: all are different.
        centred: whether the centre of mass is none of the degrees of freedom.
        box: vectors of a periodic cell, one per row, (d, d), in any basis of its lattice; None: free.

    Raises:
        ValueError: fewer than one particle (two, if centred) or no dimension, as many types as particles are not given, or a
            cell without a volume.

    >>> Particles(13, 3).dof, Particles(13, 3, centred=False).dof
    (36, 39)
    """

    n: int
    d: int
    types: tuple[int, ...] = ()
    centred: bool = True
    box: tuple[tuple[float, ...], ...] | None = None

    def __init__(
        self, n: int, d: int, types: Sequence[int] | Tensor | None = None, centred: bool = True, box: Any = None
    ) -> None:
        if n < 1 + centred or d < 1:
            raise ValueError(f"Particles need {1 + centred} or more in one dimension or more, got {n} in {d}.")
        kinds = range(n) if types is None else types.tolist() if isinstance(types, Tensor) else types
        if len(kinds) != n:
            raise ValueError(f"{n} Particles need as many types, got {len(kinds)}.")
        cell = None if box is None else torch.as_tensor(box, dtype=torch.float64)
        if cell is not None and (cell.shape != (d, d) or not abs(float(torch.linalg.det(cell))) > 1e-12):
            raise ValueError(
                f"the box of Particles in {d} dimensions must be ({d}, {d}) vectors with a volume, got {cell.tolist()}."
            )
        rows = None if cell is None else tuple(map(tuple, cell.tolist()))
        for name, value in zip(("n", "d", "types", "centred", "box"), (n, d, tuple(kinds), centred, rows), strict=True):
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.n, self.d)

    @property
    def dof(self) -> int:
        return (self.n - self.centred) * self.d

    @property
    def cell(self) -> Float[Tensor, "d d"] | None:
        return None if self.box is None else torch.tensor(self.box, dtype=torch.float64)

    @property
    def volume(self) -> float:
        """Return the volume of the cell; infinite without one."""
        return math.inf if self.cell is None else abs(float(torch.linalg.det(self.cell)))

    @property
    def domain(self) -> Domain:
        """Return lines for a free system; in a cell, circles of the length of its vectors, along them."""
        cell = self.cell
        if cell is None:
            return super().domain
        length = cell.norm(dim=1).to(torch.get_default_dtype()).repeat(self.n)
        return Domain(torch.full((self.dim,), int(Kind.CIRCULAR)), torch.zeros_like(length), length)

    def shares_measure_with(self, other: Space) -> bool:
        same = isinstance(other, Particles)
        return same and (self.shape, self.centred, self.box) == (other.shape, other.centred, other.box)  # type: ignore[attr-defined]

    def project(self, v: Float[Tensor, "*rows N d"], mass: Float[Tensor, "#N #d"] | None = None) -> Float[Tensor, "*rows N d"]:
        if not self.centred:
            return v
        if mass is None:
            return v - v.mean(-2, keepdim=True)
        share = (mass / mass.sum(-2, keepdim=True)).to(v).expand(v.shape[-2:]).contiguous()
        return v - (v * share).sum(-2, keepdim=True)

    def wrap(self, x: Float[Tensor, "*rows N d"]) -> Float[Tensor, "*rows N d"]:
        """Bring every particle into the cell; where translations do not count, to the image nearest to the first particle."""
        cell = self.cell
        if cell is None:
            return self.project(x)
        if self.centred:
            first = x[..., :1, :]
            return self.project(first + self._shortest(x - first))
        rows, inverse = self._vectors
        fraction = x @ _there(inverse, x)
        return (fraction - fraction.floor()) @ _there(rows, x)

    def difference(self, x: Float[Tensor, "*rows N d"], y: Float[Tensor, "*rows N d"]) -> Float[Tensor, "*rows N d"]:
        d = x - y
        if self.cell is None:
            return self.project(d)
        if not self.centred:
            return self._shortest(d)
        first = d[..., :1, :]  # the shortest of all joint translations is not sought: relative to the first particle
        return self.project(self._shortest(d - first))

    def separations(self, v: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """Return the shortest images of vectors between particles, (..., d); of a free system they are as they are."""
        return v if self.cell is None else self._shortest(v)

    def _shortest(self, v: Tensor) -> Tensor:
        rows, inverse, rectangular = self._short_vectors
        if rectangular:
            length = _there([[row[i] for i, row in enumerate(rows)]], v)[0]
            return v - length * torch.round(v / length)
        cell = _there(rows, v)
        v = v - torch.round(v @ _there(inverse, v)) @ cell
        steps = torch.arange(-1, 2, dtype=v.dtype, device=v.device)
        images = torch.cartesian_prod(*[steps] * self.d).reshape(-1, self.d) @ cell
        nearest = (v.detach()[..., None, :] + images).square().sum(-1).argmin(-1)
        return v + images[nearest]

    @cached_property
    def _vectors(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return the vectors of the cell, and their inverse."""
        cell = self.cell
        assert cell is not None
        return cell.tolist(), torch.linalg.inv(cell).tolist()

    @cached_property
    def _short_vectors(self) -> tuple[list[list[float]], list[list[float]], bool]:
        """Return short vectors of the lattice, their inverse, and whether the cell is a rectangle along the axes."""
        cell = self.cell
        assert cell is not None
        rectangular = torch.equal(cell, torch.diag(cell.diagonal()))
        cell = cell if rectangular else reduced(cell)
        return cell.tolist(), torch.linalg.inv(cell).tolist(), rectangular

    def __str__(self) -> str:
        where = "" if self.box is None else ", in a periodic cell"
        return f"{self.n} particles in {self.d} dimension{'s' if self.d > 1 else ''}{where}"


def _there(rows: list[list[float]], like: Tensor) -> Tensor:
    """Return a matrix in the dtype and on the device of another tensor, made there: a copy from the host would wait."""
    return torch.stack([torch.stack([like.new_full((), number) for number in row]) for row in rows])


def reduced(cell: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Return short vectors of the same lattice, (d, d): none gets shorter by adding or subtracting others once.

    In up to three dimensions that is Minkowski's reduction, and the nearest image of a point, brought into the cell, is among
    the 3^d cells about it.

    References:
        Nguyen, Stehle, ACM Trans. Algorithms 5, 46 (2009), doi:10.1145/1597036.1597050.
    """
    cell = cell.clone()
    signs = torch.tensor(list(itertools.product((0.0, 1.0, -1.0), repeat=len(cell) - 1)), dtype=cell.dtype)
    shorter = True
    while shorter:
        shorter = False
        for i in range(len(cell)):
            others, before = torch.cat([cell[:i], cell[i + 1 :]]), cell[i] @ cell[i]
            for other in others:  # far ones at once
                cell[i] -= torch.round(cell[i] @ other / (other @ other)) * other
            candidates = cell[i] + signs @ others
            cell[i] = candidates[candidates.square().sum(1).argmin()]
            shorter |= bool(cell[i] @ cell[i] < before * (1 - 1e-9))
    return cell
