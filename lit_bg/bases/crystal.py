"""A base density of free particles about the sites of a crystal."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.bases.normal import Normal
from lit_bg.energies.base import Energy
from lit_bg.energies.clusters import cluster
from lit_bg.spaces import Particles, Space


class Crystal(BaseDensity):
    r"""Places particle i about site i of a crystal: $\log p(z) = -\sum_i \frac{|z_i - s_i|^2}{2 w^2} + \mathrm{const}$.

    For crystals and frozen clusters, whose particles keep their sites: a flow from here need not sort them out. The sites have
    mean square 1, so that z is about as wide as the data are in units of their width.

    Particles have names here, and orders of the same particles are different configurations. A flow that stays near one of the
    N! orders of a crystal gives weights whose sum is Z / N!, since it never sees the others: its averages are right, and its
    log Z lacks ln N!.

    Args:
        width: w, in units of the width of the data.
        sites: of the particles, (N, d), at any scale; by default those of a `cluster`: icosahedra for 13 and 55 particles in
            space, else the fcc lattice, in the plane the square lattice.

    Raises:
        ValueError: a width that is not positive; from `build`, a system that is not of particles, or another number of sites.

    References:
        Wirnsberger, Papamakarios, Ibarz, Racaniere, Ballard, Pritzel, Blundell, Mach. Learn.: Sci. Technol. 3, 025009 (2022),
        arXiv:2111.08696.

    >>> from lit_bg.energies import LennardJones
    >>> z, log_p = Crystal(0.1).build(LennardJones(13, factor=2)).sample(3, torch.Generator().manual_seed(0))
    >>> z.mean(1).abs().max().item() < 1e-6
    True
    """

    normalised = True
    sites: Tensor

    def __init__(self, width: float = 0.3, sites: list[list[float]] | None = None) -> None:
        super().__init__()
        self.displacement, self.given = Normal(width), sites

    def build(self, energy: Energy, space: Space | None = None) -> Self:
        name, space = type(energy).__name__, energy.space if space is None else space
        if not isinstance(space, Particles):
            raise ValueError(f"sites of a crystal hold particles, and {name} has {space}: use Normal.")
        sites = cluster(space.n, space.d) if self.given is None else torch.tensor(self.given, dtype=torch.float64)
        if sites.shape != space.shape:
            raise ValueError(f"{name} of shape {space.shape} needs as many sites, got {tuple(sites.shape)}.")
        if space.cell is not None:
            raise ValueError(f"{name} lives in a periodic cell, where normal displacements are wrapped: use PeriodicCrystal.")
        self.displacement.build(energy, space)
        self.space = space
        self.symmetries = self.displacement.symmetries - {"rotation", "reflection"}
        sites = sites - sites.mean(0)
        sites = sites / sites.square().mean().sqrt()
        self.register_buffer("sites", sites.to(torch.get_default_dtype()), persistent=False)
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        away, log_p = self.displacement.sample(n, rng)
        return self.sites + away, log_p

    def log_prob(self, z: Tensor) -> Tensor:
        return self.displacement.log_prob(z - self.sites)
