"""Harmonic bonds and angles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Bonded, Frame, System, total
from lit_bg.forces.bonded import FLAT, Angles, Distances, across
from lit_bg.forces.columns import column, terms_of


class HarmonicForce(Bonded):
    r"""Sums $U = \sum \frac{k}{2} (v - v_0)^2$ of an internal coordinate v (a subclass says which)."""

    term: str  # OpenMM's word
    size: int  # atoms of a term
    coordinate: type[Distances] | type[Angles]
    v0: Tensor
    k: Tensor

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        atoms, terms = terms_of(force, self.term, self.size)
        self.register_buffer("atoms", atoms, persistent=False)
        self.periodic = force.usesPeriodicBoundaryConditions()
        self.values = self.coordinate(atoms, system.n, self.periodic)
        self.register_buffer("v0", column(v0._value for v0, _ in terms), persistent=False)
        self.register_buffer("k", column(k._value for _, k in terms), persistent=False)

    def energy(self, frame: Frame) -> Tensor:
        return total(0.5 * self.k * (self.values(frame) - self.v0).square())


class HarmonicBond(HarmonicForce):
    r"""Evaluates OpenMM's HarmonicBondForce: v is the distance r of two atoms, $\nabla_1 r = (x_1 - x_2) / r$."""

    term, size, coordinate = "Bond", 2, Distances

    def closed_form(self, *x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        d = x[0] - x[1]
        r = d.square().sum(1).sqrt()
        stretch = r - self.v0
        gradient = (self.k * stretch / r)[:, None] * d
        return 0.5 * self.k * stretch.square(), (gradient, -gradient)


class HarmonicAngle(HarmonicForce):
    r"""Evaluates OpenMM's HarmonicAngleForce: v is the angle at the middle of three atoms.

    With $u = x_1 - x_2$, $v = x_3 - x_2$: $\nabla_1 \theta = \left(\frac{u \cdot v}{u^2} u - v\right) / |u \times v|$, and
    $\nabla_3 \theta$ with u and v exchanged.
    """

    term, size, coordinate = "Angle", 3, Angles

    def closed_form(self, *x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        u, v = x[0] - x[1], x[2] - x[1]
        along, normal = (u * v).sum(1), across(u, v)
        bend = normal.atan2(along) - self.v0
        push = torch.where(normal > 1.01 * FLAT, self.k * bend / normal, 0.0)[:, None]
        first = push * ((along / u.square().sum(1))[:, None] * u - v)
        last = push * ((along / v.square().sum(1))[:, None] * v - u)
        return 0.5 * self.k * bend.square(), (first, -first - last, last)
