"""The System of a molecule: made by OpenMM's force fields, or read as text, and free of constraints."""

from __future__ import annotations

import difflib
import re
import warnings
from pathlib import Path
from typing import Any

RESIDUES = """ALA ARG ASN ASP ASH CYS CYX GLN GLU GLH GLY HIS HID HIE HIP ILE LEU LYS LYN MET PHE PRO SER THR TRP TYR VAL
ACE NME NHE HOH WAT A C G U DA DC DG DT"""
STANDARD = frozenset(RESIDUES.split())
"""Names of residues that OpenMM makes bonds for by itself"""


def one_line(error: Exception) -> str:
    """Return the message of an error of OpenMM, without line breaks and the full stop."""
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def system_options(nonbonded: str, cutoff: float) -> dict[str, Any]:
    """Return options of createSystem of OpenMM's readers: the nonbonded method by name, cutoff [nm], nothing constrained."""
    from openmm import app, unit

    return {
        "nonbondedMethod": getattr(app, nonbonded),
        "nonbondedCutoff": cutoff * unit.nanometer,
        "constraints": None,
        "rigidWater": False,
        "removeCMMotion": False,
    }


def system_from_force_field(topology: Any, files: list[str], nonbonded: str = "NoCutoff", cutoff: float = 1.0) -> Any:
    """Make an unconstrained System of an openmm Topology.

    Args:
        topology: an openmm.app.Topology, with hydrogens.
        files: force-field files, those of OpenMM (`amber96.xml`, `implicit/obc1.xml`) or your own.
        nonbonded: name of the method, such as NoCutoff or CutoffPeriodic.
        cutoff: of the other methods [nm].

    Raises:
        ValueError: an unknown or unreadable force-field file, or a residue it does not know.
    """
    from openmm import app

    if not files:
        raise ValueError("Molecule needs forcefield=[...] (such as amber96.xml), or a serialized System.")
    try:
        force_field = app.ForceField(*files)
    except Exception as error:  # XML errors and ValueError alike
        builtin = Path(app.__file__).parent / "data"
        known = [str(p.relative_to(builtin)) for p in builtin.rglob("*.xml")]
        missing = [f for f in files if f not in known and not Path(f).is_file()]
        if not missing:
            raise ValueError(f"the force field {', '.join(files)} cannot be read: {one_line(error)}.") from error
        near = difflib.get_close_matches(missing[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else "give a file, or a name OpenMM ships such as amber14-all.xml."
        raise ValueError(f"force-field file {missing[0]} does not exist: {hint}") from error
    try:
        return force_field.createSystem(topology, **system_options(nonbonded, cutoff))
    except Exception as error:
        # Asked only now: patches (CHARMM's termini and disulfides) are not tried when unmatched residues are listed.
        unknown = re.match(r"No template found for residue (\d+)", str(error))
        if unknown is None:
            raise ValueError(f"the force field {', '.join(files)} cannot make a System: {one_line(error)}.") from error
        residues = list(topology.residues())
        residue = _odd_one(residues[int(unknown[1])], topology, force_field)
        raise ValueError(f"the force field {', '.join(files)} {_unknown_residue(residue, str(error), force_field)}.") from error


def _odd_one(residue: Any, topology: Any, force_field: Any) -> Any:
    """Return the residue itself, or its neighbour in the chain whose unknown name leaves it without its bonds."""
    known = set(force_field._templates) | STANDARD
    if residue.name not in known:
        return residue
    near = [r for r in topology.residues() if r.chain.index == residue.chain.index and abs(r.index - residue.index) == 1]
    return next((r for r in near if r.name not in known), residue)


def _unknown_residue(residue: Any, said: str, force_field: Any) -> str:
    """Say what is wrong with a residue that has no template, and the way out."""
    elements = [atom.element.symbol for atom in residue.atoms() if atom.element is not None]
    bonds = list(residue.internal_bonds())
    if residue.name not in force_field._templates and len(elements) > 1 and not bonds:
        return (
            f"does not know residue {residue.name} {residue.id}, and no bonds were made for it: rename it to its parent, or "
            "give CONECT records and a force-field file that describes it"
        )
    if residue.name not in set(force_field._templates) | STANDARD and "H" not in elements:
        return f"does not know residue {residue.name} {residue.id}: no template fits {residue.name}, add a force-field file"
    guess = re.search(r"\)\.\s+(The .*?)\.(?:\s|$)", said, re.DOTALL)
    diagnosis = " ".join(guess[1].split()) if guess else ""
    diagnosis = diagnosis[:1].lower() + diagnosis[1:]
    if "H" not in elements:
        hint = "it has no hydrogens: add them with openmm.app.Modeller(...).addHydrogens(forcefield)"
    elif "addHydrogens" in said:
        hint = f"{diagnosis}: add the hydrogens with openmm.app.Modeller(...).addHydrogens(forcefield)"
    else:
        hint = (
            f"{diagnosis or 'no template fits'}; check its name, its atoms and the ends of the chain (PDBFixer adds "
            "missing atoms), or add a force-field file that describes it"
        )
    return f"does not know residue {residue.name} {residue.id} with {len(elements)} atoms: {hint}"


def read_system(path: str, n_atoms: int) -> Any:
    """Read a serialized System (XML), without its constraints.

    Raises:
        ValueError: no such file, no System, one of another size, or one that `free_coordinates` refuses.
    """
    import openmm

    if not Path(path).is_file():
        raise ValueError(f"system {path} does not exist: paths are relative to the working directory.")
    try:
        system = openmm.XmlSerializer.deserialize(Path(path).read_text())
        n = system.getNumParticles()
    except Exception as error:
        raise ValueError(f"system {path} is no serialized OpenMM System: {one_line(error)}.") from error
    if n != n_atoms:
        raise ValueError(f"system {path} has {n} particles and the topology {n_atoms} atoms: they must be one molecule.")
    return free_coordinates(system, f"system {path}", "serialize it with constraints=None, rigidWater=False")


def free_coordinates(system: Any, source: str, way_out: str) -> Any:
    """Return the System with every coordinate free.

    A constraint is dropped, with a warning, where the System also holds the harmonic bond between its atoms (or the
    harmonic angle that keeps them apart).

    Args:
        system: an openmm.System; changed in place.
        source: what it came from, for the message.
        way_out: how to get one without constraints.

    Raises:
        ValueError: virtual sites, particles of mass 0 or Drude particles, or constraints in place of bonds.
    """
    import openmm

    if any(type(force).__name__ == "DrudeForce" for force in system.getForces()):
        raise ValueError(
            f"{source} has Drude particles, which follow their atoms and are no coordinates at this temperature: use a force "
            "field without polarisation."
        )
    virtual = sum(system.isVirtualSite(i) for i in range(system.getNumParticles()))
    if virtual:
        raise ValueError(f"{source} has {virtual} virtual sites, which have no density of their own: use a model without.")
    frozen = sum(system.getParticleMass(i)._value == 0 for i in range(system.getNumParticles()))
    if frozen:
        raise ValueError(
            f"{source} has {frozen} atoms of mass 0, which OpenMM holds in place, and here every coordinate is free: give them "
            "their masses."
        )
    n = system.getNumConstraints()
    if n == 0:
        return system
    held: set[frozenset[int]] = set()
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            held |= {frozenset(force.getBondParameters(b)[:2]) for b in range(force.getNumBonds())}
        elif isinstance(force, openmm.HarmonicAngleForce):
            held |= {frozenset(force.getAngleParameters(a)[0:3:2]) for a in range(force.getNumAngles())}
    bare = sum(frozenset(system.getConstraintParameters(c)[:2]) not in held for c in range(n))
    if bare:
        raise ValueError(
            f"{source} has {n} constraints, {bare} of them in place of a bond, and constrained coordinates have no density: "
            f"{way_out}."
        )
    for c in reversed(range(n)):
        system.removeConstraint(c)
    warnings.warn(f"{source} has {n} constraints, which are dropped: its bonds vibrate instead.", stacklevel=3)
    return system


def remove_forces(system: Any, kinds: set[str]) -> list[str]:
    """Take the forces of some classes of OpenMM out of a System, in place, and return the classes that were there."""
    there = [(k, type(force).__name__) for k, force in enumerate(system.getForces())]
    found = [(k, kind) for k, kind in there if kind in kinds]
    for k, _ in reversed(found):
        system.removeForce(k)
    return [kind for _, kind in found]
