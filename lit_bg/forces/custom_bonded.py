"""Energies of a distance, an angle or a dihedral by an expression."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.bonded import Angles, Dihedrals, Distances
from lit_bg.forces.columns import terms_of
from lit_bg.forces.custom import columns, global_parameters, parameter_names, parse_expression


class CustomBonded(Force):
    """Sums an expression in one internal coordinate over bonds, angles or torsions (a subclass says which)."""

    term: str  # OpenMM's word
    atoms: int  # of a term
    variable: str  # in the expression
    coordinate: type[Distances] | type[Angles] | type[Dihedrals]

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        atoms, terms = terms_of(force, self.term, self.atoms)
        constants = columns(parameter_names(force, self.term), [t[0] for t in terms]) | global_parameters(force)
        self.values = self.coordinate(atoms, system.n, force.usesPeriodicBoundaryConditions())
        self.expression = parse_expression(force, force.getEnergyFunction()).bind(constants, [self.variable])

    def energy(self, frame: Frame) -> Tensor:
        return total(self.expression({self.variable: self.values(frame)}))


class CustomBond(CustomBonded):
    """Evaluates OpenMM's CustomBondForce: an expression in the distance r."""

    term, atoms, variable, coordinate = "Bond", 2, "r", Distances


class CustomAngle(CustomBonded):
    """Evaluates OpenMM's CustomAngleForce: an expression in the angle theta."""

    term, atoms, variable, coordinate = "Angle", 3, "theta", Angles


class CustomTorsion(CustomBonded):
    """Evaluates OpenMM's CustomTorsionForce: an expression in the dihedral theta."""

    term, atoms, variable, coordinate = "Torsion", 4, "theta", Dihedrals
