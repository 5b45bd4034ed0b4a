"""Harmonic bonds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.bonded import Distances
from lit_bg.forces.columns import column


class HarmonicBond(Force):
    r"""$U = \sum \frac{k}{2} (r - r_0)^2$ (OpenMM's HarmonicBondForce)."""

    r0: Tensor
    k: Tensor

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        terms = [force.getBondParameters(m) for m in range(force.getNumBonds())]
        atoms = torch.tensor([t[:2] for t in terms], dtype=torch.long).reshape(-1, 2)
        self.distances = Distances(atoms, system.n, force.usesPeriodicBoundaryConditions())
        self.register_buffer("r0", column(t[2]._value for t in terms), persistent=False)
        self.register_buffer("k", column(t[3]._value for t in terms), persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        return total(0.5 * self.k * (self.distances(frame) - self.r0).square())
