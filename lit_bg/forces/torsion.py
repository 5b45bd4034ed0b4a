"""Torsions: Fourier series and Ryckaert-Bellemans polynomials."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Bonded, Force, Frame, System, total
from lit_bg.forces.bonded import Dihedrals, cross
from lit_bg.forces.columns import terms_of


class PeriodicTorsion(Bonded):
    r"""Sums $U = \sum k\,(1 + \cos(n\phi - \phi_0))$ (OpenMM's PeriodicTorsionForce).

    All terms of one dihedral make a Fourier series $c + \sum_n a_n \cos n\phi + b_n \sin n\phi$, and
    $\cos n\phi$, $\sin n\phi$ follow from $\cos\phi$, $\sin\phi$ by the addition theorem: no inverse function, no
    trigonometric function.

    With the steps $u, v, w$ from atom to atom and $m = u \times v$, $n = v \times w$:
    $\nabla_1 \phi = -\frac{|v|}{m^2} m$, $\nabla_4 \phi = \frac{|v|}{n^2} n$, and
    $\nabla_2 \phi = -(1 + \frac{u \cdot v}{v^2}) \nabla_1 \phi + \frac{w \cdot v}{v^2} \nabla_4 \phi$ (Blondel, Karplus,
    J. Comput. Chem. 17, 1132 (1996), doi:10.1002/(SICI)1096-987X(19960715)17:9<1132::AID-JCC5>3.0.CO;2-T).
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
        self.register_buffer("atoms", torch.tensor(list(rows), dtype=torch.long).reshape(-1, 4), persistent=False)
        self.periodic = force.usesPeriodicBoundaryConditions()
        self.dihedrals = Dihedrals(self.atoms, system.n, self.periodic)
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

    def closed_form(self, *x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        u, v, w = (x[k + 1] - x[k] for k in range(3))
        left, right = cross(u, v), cross(v, w)
        left2, right2, v2 = (d.square().sum(1) for d in (left, right, v))
        length, scale = v2.sqrt(), (left2 * right2).rsqrt()
        cos, sin = scale * (left * right).sum(1), scale * length * (u * right).sum(1)
        cos_n, sin_n = cos, sin
        energy, rise = self.a[0] * cos + self.b[0] * sin, self.b[0] * cos - self.a[0] * sin
        for n, (a, b) in enumerate(zip(self.a[1:], self.b[1:], strict=True), 2):
            cos_n, sin_n = cos_n * cos - sin_n * sin, sin_n * cos + cos_n * sin
            energy = energy + a * cos_n + b * sin_n
            rise = rise + n * (b * cos_n - a * sin_n)
        first, last = -(rise * length / left2)[:, None] * left, (rise * length / right2)[:, None] * right
        middle = ((u * v).sum(1) / v2)[:, None] * first - ((w * v).sum(1) / v2)[:, None] * last
        return energy, (first, -first - middle, middle - last, last)

    def constant_energy(self) -> Tensor | float:
        return self.constant


class RBTorsion(Force):
    r"""Sums $U = \sum_n C_n \cos^n(\phi - \pi)$, n = 0 to 5 (OpenMM's RBTorsionForce)."""

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
