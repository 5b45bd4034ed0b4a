"""What all moves share: forces, the device, and motion without that of the centre of mass."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import Molecule
from lit_bg.samplers.hydrogen_mass import repartitioned_masses


def device_of(energy: Energy) -> torch.device:
    """Walkers live where the energy has its parameters and buffers; without any, on the CPU."""
    tensor = next(itertools.chain(energy.parameters(), energy.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def inertia(energy: Energy, hydrogen_mass: float | None = None) -> Tensor:
    """Mass of every coordinate, float64, that broadcasts against (B, *event_shape): (N, 1) for particles, else 1.

    Raises:
        ValueError: heavier hydrogens asked of what has no atoms.
    """
    if hydrogen_mass is not None:
        if not isinstance(energy, Molecule):
            raise ValueError(f"hydrogen_mass is for a Molecule, and {type(energy).__name__} has no hydrogens: leave it out.")
        masses: Tensor | None = torch.tensor(repartitioned_masses(energy.structure, hydrogen_mass), dtype=torch.float64)
    else:
        masses = energy.masses
    if masses is None:
        return torch.ones([1] * len(energy.event_shape), dtype=torch.float64)
    return masses.double().cpu()[:, None]


def per_coordinate(values: Tensor, x: Tensor) -> Tensor:
    """Return values that broadcast against configurations x, (B, *event_shape), as one for every coordinate, in the dtype of x.

    Where a factor is stretched over the last dimension, of length 3, elementwise products take ten times as long on a CPU.
    """
    return values.to(x).expand(x.shape if values.dim() == x.dim() else x.shape[1:]).contiguous()


def without_drift(v: Tensor, mass: Tensor) -> Tensor:
    r"""Velocities (or displacements) minus that of the centre of mass, $v_i - \sum_j m_j v_j / \sum_j m_j$, in place.

    It is the orthogonal projection in the metric of the masses, so thermal velocities stay thermal ones on what is left.
    """
    mass = mass.to(v).expand(v.shape[-2:]).contiguous()
    return v.sub_((v * (mass / mass.sum(0))).sum(-2, keepdim=True))


def centred(x: Tensor) -> Tensor:
    """Configurations minus their mean position, in place."""
    return x.sub_(x.mean(-2, keepdim=True))


def thermal_velocities(energy: Energy, kT: Tensor, mass: Tensor, rng: torch.Generator, dtype: torch.dtype) -> Tensor:
    r"""$v_i \sim N(0, kT / m_i)$ without drift of the centre of mass, (B, *event_shape) for kT (B,)."""
    noise = torch.randn(len(kT), *energy.event_shape, generator=rng, device=rng.device, dtype=dtype)
    v = noise * per_coordinate((kT.reshape(-1, *[1] * len(energy.event_shape)) / mass).sqrt(), noise)
    return without_drift(v, mass) if energy.translation_invariant else v


def kinetic_energy(v: Tensor, mass: Tensor) -> Tensor:
    r"""$\frac12 \sum_i m_i v_i^2$, (B,) float64, in the unit of mass times velocity squared."""
    return 0.5 * (per_coordinate(mass, v) * v**2).flatten(1).sum(-1, dtype=torch.float64)
