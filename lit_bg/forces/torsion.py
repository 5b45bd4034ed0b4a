"""Torsions: Fourier series and Ryckaert-Bellemans polynomials."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.bonded import Dihedrals
from lit_bg.forces.columns import terms_of


class PeriodicTorsion(Force):
    r"""$U = \sum k\,(1 + \cos(n\phi - \phi_0))$ (OpenMM's PeriodicTorsionForce).

    All terms of one dihedral make a Fourier series $c + \sum_n a_n \cos n\phi + b_n \sin n\phi$, and
    $\cos n\phi$, $\sin n\phi$ follow from $\cos\phi$, $\sin\phi$ by the addition theorem: no inverse function, no
    trigonometric function.
    """

    a: Tensor  # (n, M, 1), coefficients of cos(n phi), n = 1, 2, ...
    b: Tensor
    constant: Tensor

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        terms = [force.getTorsionParameters(m) for m in range(force.getNumTorsions())]
        rows = {atoms: row for row, atoms in enumerate(dict.fromkeys(tuple(t[:4]) for t in terms))}
        highest = max((t[4] for t in terms), default=1)
        a, b = torch.zeros(2, highest, len(rows), 1, dtype=torch.float64)
        for *atoms, periodicity, phase, k in terms:
            phase, k, row = phase._value, k._value, rows[tuple(atoms)]
            a[periodicity - 1, row] += k * math.cos(phase)
            b[periodicity - 1, row] += k * math.sin(phase)
        self.dihedrals = Dihedrals(torch.tensor(list(rows)).reshape(-1, 4), system.n, force.usesPeriodicBoundaryConditions())
        self.register_buffer("a", a, persistent=False)
        self.register_buffer("b", b, persistent=False)
        self.register_buffer("constant", torch.tensor(sum(t[6]._value for t in terms), dtype=torch.float64), persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        cos, sin = self.dihedrals.cosine_and_sine(frame)
        cos_n, sin_n = cos, sin
        terms = self.a[0] * cos + self.b[0] * sin
        for a, b in zip(self.a[1:], self.b[1:], strict=True):
            cos_n, sin_n = cos_n * cos - sin_n * sin, sin_n * cos + cos_n * sin
            terms = terms + a * cos_n + b * sin_n
        return self.constant + total(terms)


class RBTorsion(Force):
    r"""$U = \sum_n C_n \cos^n(\phi - \pi)$, n = 0 to 5 (OpenMM's RBTorsionForce)."""

    c: Tensor  # (6, M, 1)

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        atoms, terms = terms_of(force, "Torsion", 4)
        self.dihedrals = Dihedrals(atoms, system.n, force.usesPeriodicBoundaryConditions())
        c = torch.tensor([[c._value for c in t] for t in terms], dtype=torch.float64).reshape(-1, 6)
        self.register_buffer("c", c.T[:, :, None], persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        cos = -self.dihedrals.cosine_and_sine(frame)[0]
        terms = self.c[5]
        for c in reversed(self.c[:5]):
            terms = terms * cos + c
        return total(terms)
