"""Options of the forces of a System: treatment of nonbonded pairs, box, implicit solvent."""

from __future__ import annotations

from typing import Any

PERIODIC = ("CutoffPeriodic", "Ewald", "PME", "LJPME")
NONBONDED = ("NoCutoff", "CutoffNonPeriodic", *PERIODIC)
IMPLICIT = {name: f"implicit/{name.lower()}.xml" for name in ("HCT", "OBC1", "OBC2", "GBn", "GBn2")}
"""Implicit solvents: their names with Amber and CHARMM files, and OpenMM's force-field files"""


def check_nonbonded(nonbonded: str, cutoff: float) -> None:
    """Refuse an unknown treatment of nonbonded pairs, or a cutoff [nm] that is not a positive number.

    Raises:
        ValueError: either of them.
    """
    if nonbonded not in NONBONDED:
        raise ValueError(f"nonbonded={nonbonded} is unknown: use one of {', '.join(NONBONDED)}.")
    if not cutoff > 0:
        raise ValueError(f"cutoff must be positive, got {cutoff} nm.")


def check_implicit_solvent(name: str | None) -> None:
    """Refuse an implicit solvent that OpenMM does not have.

    Raises:
        ValueError: an unknown name.
    """
    if name is not None and name not in IMPLICIT:
        raise ValueError(f"implicit_solvent={name} is unknown: use one of {', '.join(IMPLICIT)}.")


def check_box(box: Any, cutoff: float, what: str) -> None:
    """Refuse a box in which the minimum image is not unique: the cutoff [nm] must fit into half of every width.

    Raises:
        ValueError: no box (None), or one too small.
    """
    if box is None:
        raise ValueError(f"{what} needs a box, and the files have none: give coordinates with a unit cell, or NoCutoff.")
    width = min(float(box[k][k]._value) for k in range(3))
    if 2 * cutoff > width:
        raise ValueError(
            f"{what} has a cutoff of {cutoff:g} nm, more than half the width {width:g} nm of the box: "
            "use a larger box, a shorter cutoff, or NoCutoff for a molecule without a box."
        )


def longest_cutoff(system: Any) -> float:
    """Return the longest cutoff [nm] of the periodic forces of a System, 0 if there is none."""
    forces = [f for f in system.getForces() if hasattr(f, "getCutoffDistance") and f.usesPeriodicBoundaryConditions()]
    return max((float(f.getCutoffDistance()._value) for f in forces), default=0.0)
