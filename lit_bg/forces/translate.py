"""Translation of an OpenMM System to torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.amber_born import custom_gb
from lit_bg.forces.base import Force, System, Untranslatable
from lit_bg.forces.cmap_torsion import CMAPTorsion
from lit_bg.forces.custom_bonded import CustomAngle, CustomBond, CustomTorsion
from lit_bg.forces.custom_compound_bond import CustomCentroidBond, CustomCompoundBond
from lit_bg.forces.custom_external import CustomExternal
from lit_bg.forces.custom_nonbonded import CustomNonbonded
from lit_bg.forces.force_field import ForceField
from lit_bg.forces.gbsa_obc import GBSAOBC
from lit_bg.forces.harmonic import HarmonicAngle, HarmonicBond
from lit_bg.forces.nonbonded import Nonbonded
from lit_bg.forces.torsion import PeriodicTorsion, RBTorsion

FORCES: dict[str, Callable[[Any, System], Force]] = {
    "HarmonicBondForce": HarmonicBond,
    "HarmonicAngleForce": HarmonicAngle,
    "PeriodicTorsionForce": PeriodicTorsion,
    "RBTorsionForce": RBTorsion,
    "NonbondedForce": Nonbonded,
    "GBSAOBCForce": GBSAOBC,
    "CMAPTorsionForce": CMAPTorsion,
    "CustomBondForce": CustomBond,
    "CustomAngleForce": CustomAngle,
    "CustomTorsionForce": CustomTorsion,
    "CustomExternalForce": CustomExternal,
    "CustomNonbondedForce": CustomNonbonded,
    "CustomGBForce": custom_gb,
    "CustomCompoundBondForce": CustomCompoundBond,
    "CustomCentroidBondForce": CustomCentroidBond,
}
BAROSTATS = {
    "MonteCarloBarostat",
    "MonteCarloAnisotropicBarostat",
    "MonteCarloMembraneBarostat",
    "MonteCarloFlexibleBarostat",
}
NO_ENERGY = {"CMMotionRemover", "AndersenThermostat", *BAROSTATS}


def translate(system: Any) -> ForceField:
    """Translate an `openmm.System` to a batched, differentiable torch module of its potential energy.

    Raises:
        Untranslatable: a force (or a kind of it) that only OpenMM evaluates; the message names it.
    """
    n = system.getNumParticles()
    virtual = sum(system.isVirtualSite(i) for i in range(n))
    if virtual:
        raise Untranslatable(f"a System with {virtual} virtual sites")
    box = box_of(system)
    shared = System(n, tuple(system.getParticleMass(i)._value for i in range(n)), box)
    forces: list[Force] = []
    for force in system.getForces():
        kind = type(force).__name__
        if kind in NO_ENERGY:
            continue
        if kind not in FORCES:
            raise Untranslatable(kind)
        translated = FORCES[kind](force, shared)
        if box is not None and translated.needs_pairs and not force.usesPeriodicBoundaryConditions():
            raise Untranslatable(f"{kind} without periodic boundaries in a System that has them elsewhere")
        translated.group, translated.name = force.getForceGroup(), force.getName()
        forces.append(translated)
    return ForceField(forces, n, box)


def box_of(system: Any) -> Tensor | None:
    """Return box vectors (3, 3) float64 [nm] of a periodic `openmm.System`; None without a box."""
    if not system.usesPeriodicBoundaryConditions():
        return None
    return torch.tensor([[c._value for c in v] for v in system.getDefaultPeriodicBoxVectors()], dtype=torch.float64)
