"""Where a continuous flow starts: densities that can be sampled, in units of the data's own width."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from lit_bg.energies.base import Energy
from lit_bg.nets.field import centred


class BaseDensity(nn.Module, ABC):
    """A normalised density in the reference measure of the system, with samples (n, *event_shape)."""

    @abstractmethod
    def build(self, energy: Energy) -> Self:
        """Take shapes from the system."""

    @abstractmethod
    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z (n, *event_shape) and log p(z) (n,)."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), (B,) [nats]."""


class Normal(BaseDensity):
    r"""$\log p(z) = -\frac{|z|^2}{2 w^2} - \frac{f}{2} \ln 2 \pi w^2$ in the f degrees of freedom of the system.

    For translation-invariant systems it lives on the centre-of-mass-free subspace, f = (N - 1) d; log p is that of the
    projection there.

    Args:
        width: w.

    Raises:
        ValueError: a width that is not positive.

    >>> from lit_bg.energies import DW4
    >>> z, log_p = Normal().build(DW4()).sample(3, torch.Generator().manual_seed(0))
    >>> z.mean(1).abs().max().item() < 1e-6
    True
    """

    where: Tensor

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"a normal density needs width > 0, got {width}.")
        self.width = width

    def build(self, energy: Energy) -> Self:
        self.event_shape, self.mean_free = energy.event_shape, energy.translation_invariant
        self.log_norm = 0.5 * energy.degrees_of_freedom * math.log(2 * math.pi * self.width**2)
        self.register_buffer("where", torch.zeros(()), persistent=False)  # its device and type are those of samples
        return self

    def _projected(self, z: Tensor) -> Tensor:
        return centred(z) if self.mean_free else z

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        z = torch.randn(n, *self.event_shape, generator=rng, device=self.where.device, dtype=self.where.dtype)
        z = self.width * self._projected(z)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (self._projected(z) / self.width).square().flatten(1).sum(-1) - self.log_norm


class Harmonic(BaseDensity):
    r"""Particles tied by springs: $\log p(z) = -\frac{k}{2} \sum_{(i,j)} |z_i - z_j|^2 + \mathrm{const}$, no centre of mass.

    Bonded atoms start near each other, so that a flow need not sort them out. k makes the mean width 1 in each of the
    (N - 1) d degrees of freedom.

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

    modes: Tensor
    stiffness: Tensor

    def __init__(self, springs: list[tuple[int, int]] | None = None) -> None:
        super().__init__()
        self.springs = springs

    def build(self, energy: Energy) -> Self:
        name = type(energy).__name__
        if not energy.translation_invariant:
            raise ValueError(f"springs between particles do not hold {name} in its place: use Normal.")
        springs = energy.bonds if self.springs is None else self.springs
        n = energy.event_shape[0]
        if not springs:
            raise ValueError(f"{name} has no bonds: give Harmonic its springs, or use Normal.")
        if not all(0 <= i < n and 0 <= j < n and i != j for i, j in springs):
            raise ValueError(f"springs tie two of the particles 0 to {n - 1} of {name}, got {springs}.")
        i, j = torch.tensor(springs).T
        laplacian = torch.zeros(n, n, dtype=torch.float64)
        one = torch.ones(len(i), dtype=torch.float64)
        for rows, columns, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            laplacian.index_put_((rows, columns), sign * one, accumulate=True)
        stiffness, modes = torch.linalg.eigh(laplacian)
        if stiffness[1] < 1e-9:
            raise ValueError(
                f"the springs leave some of the {n} particles of {name} unconnected: add springs between the parts."
            )
        stiffness, modes = stiffness[1:], modes[:, 1:]
        stiffness = stiffness * (1 / stiffness).mean()
        self.event_shape, d = energy.event_shape, energy.event_shape[1]
        self.log_norm = 0.5 * d * (math.log(2 * math.pi) * (n - 1) - stiffness.log().sum().item())
        self.register_buffer("stiffness", stiffness.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("modes", modes.to(torch.get_default_dtype()), persistent=False)
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = (n, len(self.stiffness), self.event_shape[1])
        a = torch.randn(shape, generator=rng, device=self.modes.device, dtype=self.modes.dtype)
        log_p = -0.5 * a.square().flatten(1).sum(-1) - self.log_norm
        return torch.einsum("ik,bkd->bid", self.modes, a * self.stiffness.rsqrt()[:, None]), log_p

    def log_prob(self, z: Tensor) -> Tensor:
        a = torch.einsum("ik,bid->bkd", self.modes, z) * self.stiffness.sqrt()[:, None]
        return -0.5 * a.square().flatten(1).sum(-1) - self.log_norm


class Known(BaseDensity):
    r"""Another system whose samples and partition function are known exactly, $p(z) = e^{-u(z)} / Z$.

    Args:
        energy: it, of the same shape, in units of the width of the data.

    Raises:
        ValueError: an energy without exact samples or log Z; from `build`, another shape or symmetry under translations.
    """

    where: Tensor

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        if not energy.has_exact_samples or energy.log_Z is None:
            raise ValueError(
                f"{type(energy).__name__} has no exact samples or no exact log Z: it cannot be a base; use Normal."
            )
        self.energy, self.known_log_Z = energy, energy.log_Z

    def build(self, energy: Energy) -> Self:
        theirs = (energy.event_shape, energy.translation_invariant)
        if (self.energy.event_shape, self.energy.translation_invariant) != theirs:
            raise ValueError(
                f"{type(self.energy).__name__} of shape {self.energy.event_shape} and {type(energy).__name__} of shape "
                f"{energy.event_shape} differ in shape or in what translations do: use Normal."
            )
        self.register_buffer("where", torch.zeros(()), persistent=False)
        return self

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        z = self.energy.exact_samples(n, rng).to(self.where)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        return -self.energy(z) - self.known_log_Z
