"""The Mueller-Brown surface: two wells joined by a curved valley."""

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

# strength, curvatures xx, xy, yy, centre x, y of each of the four terms
TERMS = (
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)


def surface(x: Tensor, y: Tensor) -> Tensor:
    """Return V(x, y) of Mueller and Brown, unscaled."""
    terms = (s * torch.exp(a * (x - p) ** 2 + b * (x - p) * (y - q) + c * (y - q) ** 2) for s, a, b, c, p, q in TERMS)
    return torch.stack(list(terms)).sum(0)


class MuellerBrown(Energy):
    r"""Defines the Mueller-Brown surface in $x_1, x_2$, harmonic in every other direction.

    $U = \alpha \sum_{j=1}^4 A_j \exp[a_j (x - \hat x_j)^2 + b_j (x - \hat x_j)(y - \hat y_j) + c_j (y - \hat y_j)^2]
    + \frac12 \sum_{i>2} x_i^2$, units of kT at kT = 1.

    With the default scale the deep minimum A lies at (-0.558, 1.442) with -14.67 and B at
    (0.623, 0.028) with -10.82; the barrier is 10.6 kT seen from A, 6.8 kT from B. The shallow minimum on the
    way, (-0.050, 0.467), counts as B. At kT = 1: log Z = 11.72959056, P(y > 0.9) = 0.9738849.

    Args:
        dim: number of coordinates, at least two.
        alpha: scale of the surface.
        kT: temperature in units of the energy.

    Raises:
        ValueError: fewer than two dimensions, or a scale that is not positive.

    References:
        Mueller, Brown, Theor. Chim. Acta 53, 75 (1979), doi:10.1007/BF00547608.
        Scale and projection: Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019),
        doi:10.1126/science.aaw1147 (its supplement prints the third yy curvature with the wrong sign).

    >>> round(MuellerBrown().log_Z, 8)
    11.72959056
    """

    def __init__(self, dim: int = 2, alpha: float = 0.1, kT: float = 1.0) -> None:
        super().__init__(kT)
        if dim < 2:
            raise ValueError(f"MuellerBrown is a surface in the plane: it needs dim of at least 2, got {dim}.")
        if not alpha > 0:
            raise ValueError(f"MuellerBrown confines only with alpha > 0, got {alpha}.")
        self.space = Vectors(dim)
        self.alpha = alpha

    def potential(self, x: Tensor) -> Tensor:
        return self.alpha * surface(x[..., 0], x[..., 1]) + 0.5 * (x[..., 2:] ** 2).sum(-1)

    @property
    def log_Z(self) -> float:
        return _exact(self.alpha / self.kT).x.log_Z + 0.5 * (self.dim - 2) * math.log(2 * math.pi * self.kT)

    @property
    def box(self) -> Tensor:
        spread = (0.1 * self.kT / self.alpha) ** 0.4
        lower, upper = torch.full((self.dim,), -4 * math.sqrt(self.kT)), torch.full((self.dim,), 4 * math.sqrt(self.kT))
        lower[:2] = torch.tensor([-0.56 - 1.0 * spread, 0.03 - 0.45 * spread])
        upper[:2] = torch.tensor([0.62 + 0.65 * spread, 1.44 + 0.7 * spread])
        return torch.stack([lower, upper])

    @property
    def observables(self) -> dict[str, Observable]:
        exact = _exact(self.alpha / self.kT)
        (x_lo, y_lo), (x_hi, y_hi) = self.box[0, :2].tolist(), self.box[1, :2].tolist()
        return {
            "x": Observable(lambda x: x[..., 0], range=(x_lo, x_hi), exact=exact.x.mean, exact_bins=exact.x.bins),
            "y": Observable(lambda x: x[..., 1], range=(y_lo, y_hi), exact=exact.y.mean, exact_bins=exact.y.bins),
            "P(y>0.9)": Observable(lambda x: (x[..., 1] > 0.9).to(x.dtype), exact=exact.upper),
            "P(0.7x-0.7y<-0.55)": Observable(
                lambda x: (0.7 * (x[..., 0] - x[..., 1]) < -0.55).to(x.dtype), exact=exact.diagonal
            ),
        }

    @property
    def modes(self) -> Modes:
        upper = _exact(self.alpha / self.kT).upper
        return Modes(
            names=("A", "B"),
            label=lambda x: (x[..., 1] <= 0.9).long(),
            exact=torch.tensor([upper, 1 - upper], dtype=torch.float64),
        )

    @property
    def initial(self) -> Tensor:
        start = torch.zeros(2, self.dim)
        start[:, :2] = torch.tensor([[-0.55822363, 1.44172584], [0.62349940, 0.02803776]])
        return start

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        plane = _grid(self.alpha / self.kT).sample(n, rng)
        rest = torch.randn(n, self.dim - 2, generator=rng, device=rng.device, dtype=torch.float64)
        return torch.cat([plane, rest * math.sqrt(self.kT)], -1).to(torch.get_default_dtype())


class _Exact(NamedTuple):
    x: Boltzmann1D
    y: Boltzmann1D
    upper: float  # P(y > 0.9)
    diagonal: float  # P(0.7x - 0.7y < -0.55)


CENTER = (-1.0, 1.0)  # of the confining fourth term


def _reach(scale: float) -> float:
    """Return where the fourth term, which curves at least as 0.4 r^2 in its exponent, has risen to 60 kT."""
    return math.sqrt(math.log(max(60.0 / (15 * scale), 2.0)) / 0.4) + 0.3


@lru_cache(maxsize=64)
def _exact(scale: float) -> _Exact:
    """Return exact answers in the plane at one value of alpha / kT, on which alone they depend."""

    def u(x: Tensor) -> Tensor:
        return scale * surface(x[..., 0], x[..., 1])

    x, y, diagonal = (project_out(u, angle, CENTER, _reach(scale)) for angle in (0.0, math.pi / 2, -math.pi / 4))
    return _Exact(
        x,
        y,
        upper=y.probability(0.9, math.inf),
        diagonal=diagonal.probability(-math.inf, -0.55 / (0.7 * math.sqrt(2))),
    )


@lru_cache(maxsize=8)
def _grid(scale: float) -> RejectionGrid:
    return RejectionGrid(lambda x: scale * surface(x[..., 0], x[..., 1]), CENTER, _reach(scale))
