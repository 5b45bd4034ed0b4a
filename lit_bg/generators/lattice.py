"""A base density of particles about the sites of a lattice."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.clusters import cluster
from lit_bg.generators.base_density import BaseDensity
from lit_bg.generators.normal import Normal


class Lattice(BaseDensity):
    r"""Particle i about site i of a lattice: $\log p(z) = -\sum_i \frac{|z_i - s_i|^2}{2 w^2} + \mathrm{const}$.

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
    >>> z, log_p = Lattice(0.1).build(LennardJones(13, factor=2)).sample(3, torch.Generator().manual_seed(0))
    >>> z.mean(1).abs().max().item() < 1e-6
    True
    """

    normalised = True
    sites: Tensor

    def __init__(self, width: float = 0.3, sites: list[list[float]] | None = None) -> None:
        super().__init__()
        self.displacement, self.given = Normal(width), sites

    def build(self, energy: Energy) -> Self:
        name, shape = type(energy).__name__, energy.event_shape
        if energy.types is None:
            raise ValueError(f"sites of a lattice hold particles, and {name} has shape {shape}: use Normal.")
        sites = cluster(*shape) if self.given is None else torch.tensor(self.given, dtype=torch.float64)
        if sites.shape != shape:
            raise ValueError(f"{name} of shape {shape} needs as many sites, got {tuple(sites.shape)}.")
        self.displacement.build(energy)
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
