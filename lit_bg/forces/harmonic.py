"""Harmonic bonds and angles."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.bonded import Angles, Distances
from lit_bg.forces.columns import column, terms_of


class Harmonic(Force):
    r"""$U = \sum \frac{k}{2} (v - v_0)^2$ of an internal coordinate v (a subclass says which)."""

    term: str  # OpenMM's word
    atoms: int  # of a term
    coordinate: type[Distances] | type[Angles]
    v0: Tensor
    k: Tensor

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        atoms, terms = terms_of(force, self.term, self.atoms)
        self.values = self.coordinate(atoms, system.n, force.usesPeriodicBoundaryConditions())
        self.register_buffer("v0", column(v0._value for v0, _ in terms), persistent=False)
        self.register_buffer("k", column(k._value for _, k in terms), persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        return total(0.5 * self.k * (self.values(frame) - self.v0).square())


class HarmonicBond(Harmonic):
    """OpenMM's HarmonicBondForce."""

    term, atoms, coordinate = "Bond", 2, Distances


class HarmonicAngle(Harmonic):
    """OpenMM's HarmonicAngleForce."""

    term, atoms, coordinate = "Angle", 3, Angles
