"""Generalised Born solvation of Onufriev, Bashford and Case."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Force, Frame, System, total
from lit_bg.forces.columns import column
from lit_bg.forces.nonbonded import COULOMB

OFFSET = 0.009  # of the dielectric radius [nm]
PROBE = 0.14  # radius of a water molecule [nm]
ALPHA, BETA, GAMMA = 1.0, 0.8, 4.85  # OBC II


class GBSAOBC(Force):
    r"""$U = -\frac{1}{2}\left(\frac{1}{\epsilon_{in}} - \frac{1}{\epsilon_{out}}\right) \sum_{ij} q_i q_j / f_{ij}
    + \sum_i \gamma\, 4\pi (r_i + r_w)^2 (r_i / R_i)^6$, $f^2 = r^2 + R_i R_j e^{-r^2 / 4 R_i R_j}$.

    The Born radii R come from a sum over all other atoms that overlap the solvent (OBC model II); the second term
    stands for the surface area. OpenMM's GBSAOBCForce.

    References:
        Onufriev, Bashford, Case, Proteins 55, 383 (2004), doi:10.1002/prot.20033.
        Schaefer, Bartels, Karplus, J. Mol. Biol. 284, 835 (1998), doi:10.1006/jmbi.1998.2172, for the surface.
    """

    needs_pairs = True
    q: Tensor  # (N, 1) [e]
    radius: Tensor  # (N, 1) [nm]
    reduced: Tensor  # (N, 1) radius less the offset
    scaled: Tensor  # (N, N, 1), that of the second atom times its overlap factor; an atom takes nothing from itself
    qq: Tensor  # (N, N, 1) all constants included, half: every pair is there twice [kJ/mol nm]
    self_qq: Tensor  # (N, 1)
    surface: Tensor  # (N, 1) [kJ/mol]

    def __init__(self, force: Any, system: System) -> None:
        super().__init__()
        n = system.n
        terms = [force.getParticleParameters(m) for m in range(n)]
        q, radius = column(t[0]._value for t in terms), column(t[1]._value for t in terms)
        constant = COULOMB * (1 / force.getSoluteDielectric() - 1 / force.getSolventDielectric())
        others = 1 - torch.eye(n, dtype=torch.float64)[:, :, None]
        buffers = {
            "q": q,
            "radius": radius,
            "reduced": radius - OFFSET,
            "scaled": others * (radius - OFFSET) * column(t[2] for t in terms),
            "qq": -0.5 * constant * others * q[:, None] * q,
            "self_qq": -0.5 * constant * q**2,
            "surface": 4 * math.pi * force.getSurfaceAreaEnergy()._value * (radius + PROBE) ** 2,
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)
        self.cutoff = None if force.getNonbondedMethod() == force.NoCutoff else force.getCutoffDistance()._value

    def energy(self, frame: Frame) -> Tensor:
        r2 = frame.pairs
        descreening = _descreening(frame.distance, frame.inverse_distance, self.reduced[:, None], self.scaled)
        if self.cutoff is not None:
            near = r2 < self.cutoff**2
            descreening = torch.where(near, descreening, 0.0)
        psi = 0.5 * self.reduced * descreening.sum(1)
        polynomial = psi * (ALPHA - psi * (BETA - GAMMA * psi))
        inverse_born = 1 / self.reduced - polynomial.tanh() / self.radius
        born = 1 / inverse_born
        # Divisions are what the pair terms cost: those that can be made of atoms are
        falls = (r2 * (-0.25 * inverse_born[:, None] * inverse_born)).exp()
        inverse_f = (r2 + born[:, None] * born * falls).rsqrt()
        pair = self.qq * inverse_f
        if self.cutoff is not None:
            pair = torch.where(near, pair - self.qq / self.cutoff, 0.0)
        return total(pair) + total(self.self_qq * inverse_born + self.surface * (self.radius / born) ** 6)


def _descreening(r: Tensor, inverse: Tensor, reduced: Tensor, scaled: Tensor) -> Tensor:
    """Twice the integral over the part of one sphere (radius `scaled`) outside another (radius `reduced`), (N, N, B) [1/nm].

    Their centres are r apart, and `inverse` is 1 / r.
    """
    upper = 1 / (r + scaled)
    nearest = torch.maximum((r - scaled).abs(), reduced)
    lower = 1 / nearest
    term = lower - upper + 0.25 * (r - scaled**2 * inverse) * (upper**2 - lower**2) + 0.5 * inverse * (upper * nearest).log()
    swallowed = 2 * (1 / reduced - lower)  # the other sphere holds all of this one
    term = torch.where(reduced < scaled - r, term + swallowed, term)
    return torch.where(reduced < r + scaled, term, 0.0)
