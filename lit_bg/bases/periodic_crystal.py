"""A base density of particles about the sites of a crystal in a periodic cell."""

from __future__ import annotations

import itertools
import math
from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.spaces import Particles, Space, Symmetry

FAR = 7.0  # widths beyond which an image of a particle adds nothing that double precision resolves
WIDEST = 1 / 16  # of the cell, where translations do not count: images are 8 widths away, of a difference e^-16


class PeriodicCrystal(BaseDensity):
    r"""Draws particle i about site i, wrapped: $p(x) = \prod_i \sum_n N(x_i; s_i + n, w^2)$, n in the lattice.

    Normalised on the cell whatever w is. Where translations do not count (`Particles(centred=True, box=...)`), displacements
    are drawn without their mean, and w is small enough for the nearest image alone.

    Particles have names here, as in `Crystal`: a flow that stays near one order gives weights whose sum is Z / N!.

    Args:
        width: w, in the unit of length of the system.
        sites: (N, d), in the same unit; None: the first of the initial configurations of the system.

    Raises:
        ValueError: a width that is not positive; from `build`, a system without a periodic cell or without sites, another
            number of sites, or a width that is too large for a cell in which translations do not count.

    References:
        Wirnsberger et al., Mach. Learn.: Sci. Technol. 3, 025009 (2022), arXiv:2111.08696, for lattice bases.
        Mardia, Jupp, Directional Statistics (2000), doi:10.1002/9780470316979, section 3.5.7, for wrapped normals.
    """

    normalised = True
    sites: Tensor
    cell: Tensor
    images: Tensor  # (M, d) lattice vectors

    def __init__(self, width: float, sites: list[list[float]] | None = None) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"displacements in a crystal need width > 0, got {width}.")
        self.width, self.given = width, sites

    def build(self, energy: Energy, space: Space | None = None) -> Self:
        name, own = type(energy).__name__, energy.space
        if not isinstance(own, Particles) or own.cell is None:
            raise ValueError(
                f"PeriodicCrystal holds particles in a periodic cell, and {name} has {own}: use Crystal or Normal."
            )
        if self.given is None and energy.initial is None:
            raise ValueError(f"{name} says nothing of where to start: give PeriodicCrystal its sites.")
        sites = energy.initial[0] if self.given is None else torch.tensor(self.given)  # type: ignore[index]
        if sites.shape != own.shape:
            raise ValueError(f"{name} of shape {own.shape} needs as many sites, got {tuple(sites.shape)}.")
        shortest = 1 / float(torch.linalg.inv(own.cell).norm(dim=0).max())  # distance of opposite faces
        if own.centred and self.width > WIDEST * shortest:
            raise ValueError(
                f"width = {self.width:g} is more than {WIDEST:g} of the cell of {name}, {shortest:.3g} across, and "
                "translations do not count there: make it smaller, or measure all coordinates (centred=False)."
            )
        self.space = own
        self.symmetries = frozenset[Symmetry]({"translation"}) if own.centred else frozenset()
        reach = math.ceil(FAR * self.width / shortest + 0.5)
        shifts = torch.tensor(list(itertools.product(range(-reach, reach + 1), repeat=own.d)), dtype=torch.float64)
        for key, value in {"sites": sites.double(), "cell": own.cell, "images": shifts @ own.cell}.items():
            self.register_buffer(key, value.to(torch.get_default_dtype()), persistent=False)
        self.log_norm = 0.5 * own.dof * math.log(2 * math.pi * self.width**2)
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        away = self.width * self.space.noise(n, rng, self.sites.dtype).to(self.sites.device)
        x = self.sites + away
        x = x if self.space.centred else self.space.wrap(x)
        return x, self.log_prob(x)

    def log_prob(self, z: Tensor) -> Tensor:
        away = self.space.difference(z, self.sites.expand_as(z))
        if self.space.centred:
            return -0.5 * (away / self.width).square().flatten(1).sum(-1) - self.log_norm
        squares = (away[..., None, :] + self.images).square().sum(-1) / self.width**2  # (B, N, M)
        return torch.logsumexp(-0.5 * squares, -1).sum(-1) - self.log_norm
