"""Energies of several atoms, or of the centres of groups of atoms, by an expression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Force, Frame, System, Untranslatable, total
from lit_bg.forces.bonded import Angles, Dihedrals, Distances
from lit_bg.forces.custom import columns, global_parameters, parameter_names, parse_expression


def _pointdistance(*c: Tensor) -> Tensor:
    return sum((a - b).square() for a, b in zip(c[:3], c[3:], strict=True)).sqrt()  # type: ignore[union-attr]


def _pointangle(*c: Tensor) -> Tensor:
    u, v = ([a - b for a, b in zip(end, c[3:6], strict=True)] for end in (c[:3], c[6:]))
    across = sum(w.square() for w in _crossed(u, v)).sqrt()  # type: ignore[union-attr]
    return torch.atan2(across, _dotted(u, v))


def _pointdihedral(*c: Tensor) -> Tensor:
    a, b, d = ([q - p for p, q in zip(c[3 * k : 3 * k + 3], c[3 * k + 3 : 3 * k + 6], strict=True)] for k in range(3))
    m, n = _crossed(a, b), _crossed(b, d)
    return torch.atan2(_dotted(b, b).sqrt() * _dotted(a, n), _dotted(m, n))


def _crossed(u: list[Tensor], v: list[Tensor]) -> list[Tensor]:
    return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]


def _dotted(u: list[Tensor], v: list[Tensor]) -> Tensor:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def _of_arity(n: int, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    function.arity = n  # type: ignore[attr-defined]  # what the parser asks of a function
    return function


POINTS = {  # of coordinates, three for each point
    "pointdistance": _of_arity(6, _pointdistance),
    "pointangle": _of_arity(9, _pointangle),
    "pointdihedral": _of_arity(12, _pointdihedral),
}
COORDINATES = {"distance": Distances, "angle": Angles, "dihedral": Dihedrals}
SYMBOLS = {"distance": 2, "angle": 3, "dihedral": 4}


class CustomCompoundBond(Force):
    """Evaluates a CustomCompoundBondForce: an expression in distance(p1,p2), angle(p1,p2,p3), dihedral(...) and x1, y1, ...

    pointdistance, pointangle and pointdihedral take coordinates, three for each point.
    """

    letter = "p"  # of the particles in the expression

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        bonds = [force.getBondParameters(m) for m in range(force.getNumBonds())]
        members = torch.tensor([b[0] for b in bonds], dtype=torch.long).reshape(len(bonds), -1)
        constants = columns(parameter_names(force, "Bond"), [b[1] for b in bonds]) | global_parameters(force)
        expression = parse_expression(force, force.getEnergyFunction(), SYMBOLS, POINTS)
        periodic = force.usesPeriodicBoundaryConditions()
        if periodic and any(name in force.getEnergyFunction() for name in POINTS):
            raise Untranslatable(f"{type(force).__name__} with points in a periodic box")
        self.names = list(expression.calls)
        self.coordinates = nn.ModuleList()
        for function, arguments in expression.calls.values():
            self.coordinates.append(COORDINATES[function](members[:, [self._index(a) for a in arguments]], system.n, periodic))
        positions = sorted(v for v in expression.variables if v[0] in "xyz" and v[1:].isdigit() and v not in constants)
        self.positions = [(v, "xyz".index(v[0]), int(v[1:]) - 1) for v in positions]
        self.sees_positions = bool(positions)
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
    """Evaluates OpenMM's CustomCentroidBondForce: the same of centres of groups of atoms, weighted as it says, else by mass."""

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
