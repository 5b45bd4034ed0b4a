"""The common part of moves: inertia, temperatures of walkers, thermal velocities."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.molecules.hydrogen_mass import check_hydrogen_mass


def inertia(energy: Energy, hydrogen_mass: float | None = None) -> Tensor:
    """Return masses, float64, that broadcast against configurations (B, *shape): (N, 1) of particles, else 1, of that shape.

    Raises:
        ValueError: heavier hydrogens asked of what has no atoms.
    """
    masses = energy.masses if hydrogen_mass is None else energy.repartitioned_masses(hydrogen_mass)
    if masses is None:
        return torch.ones(energy.space.shape, dtype=torch.float64)
    return masses.double().cpu()[:, None]


class Masses:
    """Asks a system for its masses once, since heavier hydrogens are looked up bond by bond.

    Args:
        hydrogen_mass: as for `inertia`.
    """

    def __init__(self, hydrogen_mass: float | None = None) -> None:
        check_hydrogen_mass(hydrogen_mass)
        self.hydrogen_mass = hydrogen_mass
        self._known: tuple[Energy, Tensor] | None = None

    def of(self, energy: Energy, x: Tensor) -> Tensor:
        """Return the masses of a system, of the type of x; they broadcast against it."""
        if self._known is None or self._known[0] is not energy:
            self._known = energy, inertia(energy, self.hydrogen_mass)
        mass = self._known[1]
        if (mass.dtype, mass.device) != (x.dtype, x.device):
            mass = inertia(energy, self.hydrogen_mass).to(x)
            self._known = energy, mass  # sent to a device once
        return mass


def temperatures(energy: Energy, x: Tensor) -> Tensor:
    """Return kT of every walker in the unit of the potential, (W,) float64: rows of replicas have each their own."""
    if isinstance(energy.kT, Tensor):  # of replicas
        return energy.kT.to(x.device)
    return torch.full((len(x),), energy.kT, dtype=torch.float64, device=x.device)


def per_walker(values: Tensor, x: Tensor) -> Tensor:
    """Return one value per walker, (W,), so that it broadcasts against configurations (W, *shape), in their dtype."""
    return values.to(x).reshape(-1, *[1] * (x.ndim - 1))


def per_coordinate(values: Tensor, x: Tensor) -> Tensor:
    """Return values that broadcast against configurations x, (B, *shape), as one for every coordinate, in the dtype of x.

    Where a factor is stretched over the last dimension, of length 3, elementwise products take ten times as long on a CPU.
    """
    return values.to(x).expand(x.shape if values.dim() == x.dim() else x.shape[1:]).contiguous()


def thermal_scale(kT: Tensor, mass: Tensor, x: Tensor) -> Tensor:
    r"""Return $\sqrt{kT / m_i}$ of every walker and coordinate, of the shape and type of x."""
    return per_coordinate((kT.reshape(-1, *[1] * (x.ndim - 1)) / mass.to(kT.device)).sqrt(), x)


def thermal_velocities(energy: Energy, x: Tensor, mass: Tensor, rng: torch.Generator) -> Tensor:
    r"""Draw $v_i \sim N(0, kT / m_i)$ in the degrees of freedom of the system, of the shape and type of x."""
    noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
    return energy.space.project(noise * thermal_scale(temperatures(energy, x), mass, x), mass)


def kinetic_energy(v: Tensor, mass: Tensor) -> Tensor:
    r"""Return $\frac12 \sum_i m_i v_i^2$, (B,) float64, in the unit of mass times velocity squared."""
    return 0.5 * (per_coordinate(mass, v) * v**2).flatten(1).sum(-1, dtype=torch.float64)
