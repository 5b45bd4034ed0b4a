"""Energies of several atoms, or of the centres of groups of atoms, by an expression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Force, Frame, System, Untranslatable, total
from lit_bg.forces.bonded import Angles, Dihedrals, Distances
from lit_bg.forces.custom import columns, global_parameters, parameter_names, parse

COORDINATES = {"distance": Distances, "angle": Angles, "dihedral": Dihedrals}
SYMBOLS = {"distance": 2, "angle": 3, "dihedral": 4}


class CustomCompoundBond(Force):
    """OpenMM's CustomCompoundBondForce: an expression in distance(p1,p2), angle(p1,p2,p3), dihedral(...) and x1, y1, ..."""

    letter = "p"  # of the particles in the expression

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        bonds = [force.getBondParameters(m) for m in range(force.getNumBonds())]
        members = torch.tensor([b[0] for b in bonds], dtype=torch.long).reshape(len(bonds), -1)
        constants = columns(parameter_names(force, "Bond"), [b[1] for b in bonds]) | global_parameters(force)
        expression = parse(force, force.getEnergyFunction(), SYMBOLS)
        periodic = force.usesPeriodicBoundaryConditions()
        self.names = list(expression.calls)
        self.coordinates = nn.ModuleList()
        for function, arguments in expression.calls.values():
            self.coordinates.append(COORDINATES[function](members[:, [self._index(a) for a in arguments]], system.n, periodic))
        positions = sorted(v for v in expression.variables if v[0] in "xyz" and v[1:].isdigit() and v not in constants)
        self.positions = [(v, "xyz".index(v[0]), int(v[1:]) - 1) for v in positions]
        self.register_buffer("members", members, persistent=False)
        self.expression = expression.bind(constants, [*self.names, *positions])
        self.empty = len(bonds) == 0

    def _index(self, name: str) -> int:
        if name[:1] != self.letter or not name[1:].isdigit():
            raise Untranslatable(f"{type(self).__name__} with the argument {name}")
        return int(name[1:]) - 1

    def energy(self, frame: Frame) -> Tensor:
        if self.empty:
            return frame.x.new_zeros(frame.x.shape[-1], dtype=torch.float64)
        values = {name: coordinate(frame) for name, coordinate in zip(self.names, self.coordinates, strict=True)}
        members: Tensor = self.members  # type: ignore[assignment]
        values |= {name: frame.x[members[:, k], axis] for name, axis, k in self.positions}
        return total(self.expression(values))


class CustomCentroidBond(CustomCompoundBond):
    """OpenMM's CustomCentroidBondForce: the same of centres of groups of atoms, weighted as the force says, else by mass."""

    letter = "g"
    weights: Tensor  # (G, N)

    def __init__(self, force: Any, system: System) -> None:
        groups = force.getNumGroups()
        super().__init__(force, system._replace(n=groups))
        weights = torch.zeros(groups, system.n, dtype=torch.float64)
        for g in range(groups):
            atoms, given = force.getGroupParameters(g)
            for k, atom in enumerate(atoms):
                weights[g, atom] += given[k] if len(given) else system.masses[atom]
        self.register_buffer("weights", weights / weights.sum(1, keepdim=True), persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        # elementwise, not a matrix product: some devices round products of float32
        centres = torch.stack([(w[:, None, None] * frame.x).sum(0) for w in self.weights])
        return super().energy(Frame(centres, frame.box, all_pairs=False))
