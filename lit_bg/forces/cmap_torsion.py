"""Maps of two torsions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.bonded import Dihedrals
from lit_bg.forces.tabulated_spline import periodic_bicubic


class CMAPTorsion(Force):
    """Evaluates periodic bicubic splines of two dihedrals (OpenMM's CMAPTorsionForce).

    References:
        Mackerell, Feig, Brooks, J. Comput. Chem. 25, 1400 (2004), doi:10.1002/jcc.20065.
    """

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        terms = [force.getTorsionParameters(m) for m in range(force.getNumTorsions())]
        maps = [force.getMapParameters(k) for k in range(force.getNumMaps())]
        self.sets = nn.ModuleList()  # maps of one resolution are one table
        for size in sorted({maps[t[0]][0] for t in terms}):
            own = [k for k, (n, _) in enumerate(maps) if n == size]
            # the first torsion runs fastest
            tables = torch.stack([torch.tensor([e._value for e in maps[k][1]]).double().view(size, size).T for k in own])
            members = [t for t in terms if t[0] in own]
            atoms, table = torch.tensor([t[1:] for t in members]), [own.index(t[0]) for t in members]
            self.sets.append(_Maps(tables, torch.tensor(table), atoms, system.n, force.usesPeriodicBoundaryConditions()))

    def energy(self, frame: Frame) -> Tensor:
        energy = frame.x.new_zeros(frame.x.shape[-1], dtype=torch.float64)
        for maps in self.sets:
            energy = energy + total(maps(frame))
        return energy


class _Maps(nn.Module):
    """Holds terms whose maps have one resolution: (K, n, n) tables, (M,) table of each term, (M, 8) atoms."""

    table: Tensor

    def __init__(self, tables: Tensor, table: Tensor, atoms: Tensor, n: int, periodic: bool) -> None:
        super().__init__()
        self.spline = periodic_bicubic(tables)
        self.register_buffer("table", table[:, None], persistent=False)
        self.first, self.second = Dihedrals(atoms[:, :4], n, periodic), Dihedrals(atoms[:, 4:], n, periodic)

    def forward(self, frame: Frame) -> Tensor:
        return self.spline(self.first(frame), self.second(frame), table=self.table)
