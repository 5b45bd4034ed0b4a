"""The modified Wolfe-Quapp potential, the standard toy of temperature maps."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.quadrature import Boltzmann1D, project_out
from lit_bg.energies.rejection_grid import RejectionGrid
from lit_bg.spaces import Vectors

THETA = -0.3 * math.pi / 2  # rotation of the plane
STIFFNESS = 15.0  # of the harmonic directions


def surface(x: Tensor, y: Tensor) -> Tensor:
    """Return U(x, y), whose lowest value is about zero."""
    p = math.cos(THETA) * x - math.sin(THETA) * y
    q = math.sin(THETA) * x + math.cos(THETA) * y
    return 2 * (p**4 + q**4 - 2 * p**2 - 4 * q**2 + 2 * p * q + 0.8 * p + 0.1 * q + 9.28)


class WolfeQuapp(Energy):
    r"""Defines the modified Wolfe-Quapp potential: two wells in a rotated plane, harmonic in every other direction.

    $U = 2 [p^4 + q^4 - 2 p^2 - 4 q^2 + 2 p q + 0.8 p + 0.1 q + 9.28] + \frac{15}{2} \sum_{i>2} x_i^2$, where (p, q) is
    $(x_1, x_2)$ rotated by $\theta = -0.15 \pi$; units of kT at kT = 1.

    The minima lie at (-1.880, 0.784) with U = 0.000 and (1.786, -0.831) with U = 3.439. In two
    dimensions log Z = -1.71156187 at kT = 1, and P(x < 0) falls from 0.9649409 (kT = 1) to 0.5630426 (kT = 10).

    Args:
        dim: number of coordinates, at least two.
        kT: temperature in units of the energy.

    Raises:
        ValueError: fewer than two dimensions.

    References:
        Invernizzi, Kraemer, Clementi, Noe, J. Phys. Chem. Lett. 13, 11643 (2022), arXiv:2210.14104.

    >>> round(WolfeQuapp().log_Z, 8)
    -1.71156187
    """

    def __init__(self, dim: int = 2, kT: float = 1.0) -> None:
        super().__init__(kT)
        if dim < 2:
            raise ValueError(f"WolfeQuapp is a surface in the plane: it needs dim of at least 2, got {dim}.")
        self.space = Vectors(dim)

    def potential(self, x: Tensor) -> Tensor:
        return surface(x[..., 0], x[..., 1]) + 0.5 * STIFFNESS * (x[..., 2:] ** 2).sum(-1)

    @property
    def log_Z(self) -> float:
        return _exact(self.kT).x.log_Z + 0.5 * (self.dim - 2) * math.log(2 * math.pi * self.kT / STIFFNESS)

    @property
    def box(self) -> Tensor:
        edge = torch.full((self.dim,), 4 * math.sqrt(self.kT / STIFFNESS))
        spread = 0.9 * self.kT**0.3
        edge[:2] = torch.tensor([1.9 + spread, 1.4 + spread])
        return torch.stack([-edge, edge])

    @property
    def observables(self) -> dict[str, Observable]:
        exact = _exact(self.kT)
        edge_x, edge_y = self.box[1, :2].tolist()
        return {
            "x": Observable(lambda x: x[..., 0], range=(-edge_x, edge_x), exact=exact.x.mean, exact_bins=exact.x.bins),
            "y": Observable(lambda x: x[..., 1], range=(-edge_y, edge_y), exact=exact.y.mean, exact_bins=exact.y.bins),
            "P(x<0)": Observable(lambda x: (x[..., 0] < 0).to(x.dtype), exact=exact.left),
        }

    @property
    def modes(self) -> Modes:
        left = _exact(self.kT).left
        return Modes(
            names=("left", "right"),
            label=lambda x: (x[..., 0] >= 0).long(),
            exact=torch.tensor([left, 1 - left], dtype=torch.float64),
        )

    @property
    def initial(self) -> Tensor:
        start = torch.zeros(2, self.dim)
        start[:, :2] = torch.tensor([[-1.87990876, 0.78403710], [1.78623814, -0.83123937]])
        return start

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        plane = _grid(self.kT).sample(n, rng)
        rest = torch.randn(n, self.dim - 2, generator=rng, device=rng.device, dtype=torch.float64)
        return torch.cat([plane, rest * math.sqrt(self.kT / STIFFNESS)], -1).to(torch.get_default_dtype())


class _Exact(NamedTuple):
    x: Boltzmann1D
    y: Boltzmann1D
    left: float  # P(x < 0)


def _reach(kT: float) -> float:
    """Return the radius beyond which the quartic, at least r^4, beats the quadratic part by 40 kT."""
    return 3.0 + (40 * kT) ** 0.25


@lru_cache(maxsize=64)
def _exact(kT: float) -> _Exact:
    def u(x: Tensor) -> Tensor:
        return surface(x[..., 0], x[..., 1]) / kT

    x, y = (project_out(u, angle, (0.0, 0.0), _reach(kT)) for angle in (0.0, math.pi / 2))
    return _Exact(x, y, left=x.probability(-math.inf, 0.0))


@lru_cache(maxsize=8)
def _grid(kT: float) -> RejectionGrid:
    return RejectionGrid(lambda x: surface(x[..., 0], x[..., 1]) / kT, (0.0, 0.0), _reach(kT))
