"""The energy of every force of a System by itself, in double precision."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from lit_bg.energies.openmm_bridge import OpenMMEvaluator
from lit_bg.forces.translate import NO_ENERGY
from lit_bg.molecules.invariance import TOLERANCE, Term

GROUPS = 32  # OpenMM has no more force groups
WITHIN = {  # kinds that by their definition depend on distances, angles and torsions alone
    "HarmonicBondForce",
    "HarmonicAngleForce",
    "PeriodicTorsionForce",
    "RBTorsionForce",
    "CMAPTorsionForce",
    "NonbondedForce",
    "GBSAOBCForce",
    "CustomBondForce",
    "CustomAngleForce",
    "CustomTorsionForce",
    "CustomNonbondedForce",
}


def energies_by_force(system: Any, x: Tensor, all_kinds: bool = True) -> list[Term]:
    """Return the energy of every force of an `openmm.System` on the Reference platform, with the tolerance it is good to.

    Args:
        system: it stays as it is.
        x: configurations, (B, N, 3) float64 [nm].
        all_kinds: False leaves out kinds that depend on distances, angles and torsions alone.
    """
    import openmm

    asked = [
        k
        for k, force in enumerate(system.getForces())
        if type(force).__name__ not in NO_ENERGY and (all_kinds or type(force).__name__ not in WITHIN)
    ]
    terms: list[Term] = []
    for start in range(0, len(asked), GROUPS):
        some = asked[start : start + GROUPS]
        part = copy.deepcopy(system)
        for k in reversed(range(part.getNumForces())):  # the others cost time to set up
            if k not in some:
                part.removeForce(k)
        for group, force in enumerate(part.getForces()):
            force.setForceGroup(group)
        evaluator = OpenMMEvaluator(openmm.XmlSerializer.serialize(part), "Reference")
        for group, force in enumerate(part.getForces()):
            terms.append(Term(force.getName(), evaluator.energy(x, {group}), _tolerance(force)))
        evaluator.close()
    return terms


def _tolerance(force: Any) -> float:
    """Return the relative error of an energy: of a lattice sum what it was asked for, since a mesh stands still in space."""
    if hasattr(force, "getEwaldErrorTolerance") and force.usesPeriodicBoundaryConditions():
        return float(force.getEwaldErrorTolerance())
    return TOLERANCE
