"""Harmonic angles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.bonded import Angles
from lit_bg.forces.columns import column


class HarmonicAngle(Force):
    r"""$U = \sum \frac{k}{2} (\theta - \theta_0)^2$ (OpenMM's HarmonicAngleForce)."""

    theta0: Tensor
    k: Tensor

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        terms = [force.getAngleParameters(m) for m in range(force.getNumAngles())]
        atoms = torch.tensor([t[:3] for t in terms], dtype=torch.long).reshape(-1, 3)
        self.angles = Angles(atoms, system.n, force.usesPeriodicBoundaryConditions())
        self.register_buffer("theta0", column(t[3]._value for t in terms), persistent=False)
        self.register_buffer("k", column(t[4]._value for t in terms), persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        return total(0.5 * self.k * (self.angles(frame) - self.theta0).square())
