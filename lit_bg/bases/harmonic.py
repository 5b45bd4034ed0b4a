"""A base density of particles tied by springs."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from lit_bg.bases.base import BaseDensity
from lit_bg.energies.base import Energy
from lit_bg.spaces import Particles, Space, Symmetry


class Harmonic(BaseDensity):
    r"""Ties particles by springs: $\log p(z) = -\frac{k}{2} \sum_{(i,j)} |z_i - z_j|^2 + \mathrm{const}$, no centre of mass.

    Bonded atoms start near each other, so that a flow need not sort them out. k makes the mean width 1 in each of the
    (N - 1) d degrees of freedom. It follows exchanges of particles of one type if the springs do.

    Args:
        springs: pairs of particles that connect all of them; by default the bonds of a molecule.

    Raises:
        ValueError: from `build`, a system that is not of free particles, one without bonds when none are given, or springs that
            leave particles unconnected.

    References:
        Jing, Berger, Jaakkola, ICML 2024, arXiv:2402.04845.

    >>> from lit_bg.energies import DW4
    >>> z, log_p = Harmonic([(0, 1), (1, 2), (2, 3)]).build(DW4()).sample(3, torch.Generator().manual_seed(0))
    >>> z.mean(1).abs().max().item() < 1e-6
    True
    """

    normalised = True
    symmetries: frozenset[Symmetry] = frozenset({"translation", "rotation", "reflection"})
    modes: Tensor
    stiffness: Tensor

    def __init__(self, springs: list[tuple[int, int]] | None = None) -> None:
        super().__init__()
        self.springs = springs

    def build(self, energy: Energy, space: Space | None = None) -> Self:
        name, space = type(energy).__name__, energy.space if space is None else space
        if not (isinstance(space, Particles) and space.centred and space.unbounded):
            raise ValueError(f"springs between particles do not hold {name} in its place: use Normal.")
        self.space = space
        springs = energy.bonds if self.springs is None else self.springs
        n, d = space.n, space.d
        self.dimensions = d
        if not springs:
            raise ValueError(f"{name} has no bonds: give Harmonic its springs, or use Normal.")
        if not all(0 <= i < n and 0 <= j < n and i != j for i, j in springs):
            raise ValueError(f"springs tie two of the particles 0 to {n - 1} of {name}, got {springs}.")
        i, j = torch.tensor(springs).T
        laplacian = torch.zeros(n, n, dtype=torch.float64)
        one = torch.ones(len(i), dtype=torch.float64)
        for rows, columns, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            laplacian.index_put_((rows, columns), sign * one, accumulate=True)
        self.exchangeable = _exchangeable(laplacian, torch.tensor(space.types))
        stiffness, modes = torch.linalg.eigh(laplacian)
        if stiffness[1] < 1e-9:
            raise ValueError(
                f"the springs leave some of the {n} particles of {name} unconnected: add springs between the parts."
            )
        stiffness, modes = stiffness[1:], modes[:, 1:]
        stiffness = stiffness * (1 / stiffness).mean()
        self.log_norm = 0.5 * d * (math.log(2 * math.pi) * (n - 1) - stiffness.log().sum().item())
        self.register_buffer("stiffness", stiffness.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("modes", modes.to(torch.get_default_dtype()), persistent=False)
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = (n, len(self.stiffness), self.dimensions)
        a = torch.randn(shape, generator=rng, device=self.modes.device, dtype=self.modes.dtype)
        log_p = -0.5 * a.square().flatten(1).sum(-1) - self.log_norm
        return torch.einsum("ik,bkd->bid", self.modes, a * self.stiffness.rsqrt()[:, None]), log_p

    def log_prob(self, z: Tensor) -> Tensor:
        a = torch.einsum("ik,bid->bkd", self.modes, z) * self.stiffness.sqrt()[:, None]
        return -0.5 * a.square().flatten(1).sum(-1) - self.log_norm


def _exchangeable(laplacian: Tensor, types: Tensor) -> bool:
    """Say whether exchanges of particles of one type leave the springs as they are."""
    everyone = torch.arange(len(types))
    for kind in types.unique():
        first, *others = everyone[types == kind].tolist()
        for other in others:
            order = everyone.clone()
            order[first], order[other] = other, first
            if not torch.equal(laplacian[order][:, order], laplacian):
                return False
    return True
