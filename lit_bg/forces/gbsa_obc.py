"""OpenMM's generalised Born solvation, OBC model II."""

from __future__ import annotations

import math
from typing import Any

import torch

from lit_bg.forces.base import System
from lit_bg.forces.born import Born
from lit_bg.forces.nonbonded import COULOMB

OFFSET = 0.009  # of the dielectric radius [nm]
PROBE = 0.14  # radius of a water molecule [nm]
OBC2 = 1.0, 0.8, 4.85  # alpha, beta, gamma


class GBSAOBC(Born):
    r"""Evaluates OpenMM's GBSAOBCForce: `Born` with the surface term $\gamma\, 4\pi (\rho_i + r_w)^2 (\rho_i / R_i)^6$.

    References:
        Onufriev, Bashford, Case, Proteins 55, 383 (2004), doi:10.1002/prot.20033.
    """

    def __init__(self, force: Any, system: System) -> None:
        rows = [force.getParticleParameters(m) for m in range(system.n)]
        table = torch.tensor([[q._value, radius._value, scale] for q, radius, scale in rows], dtype=torch.float64)
        charges, radius, scale = table.reshape(-1, 3).T
        cutoff = None if force.getNonbondedMethod() == force.NoCutoff else force.getCutoffDistance()._value
        super().__init__(
            charges,
            reduced=radius - OFFSET,
            scaled=(radius - OFFSET) * scale,
            radius=radius,
            coefficients=torch.tensor(OBC2, dtype=torch.float64)[:, None].expand(3, system.n),
            constant=-COULOMB * (1 / force.getSoluteDielectric() - 1 / force.getSolventDielectric()),
            surface=4 * math.pi * force.getSurfaceAreaEnergy()._value * (radius + PROBE) ** 2 * radius**6,
            cutoff=cutoff,
            shift=0.0 if cutoff is None else 1 / cutoff,
            swallows=True,
        )
