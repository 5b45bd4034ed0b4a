"""Positions of atoms from the files of the usual programs, in nanometres."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from lit_bg.molecules.force_field import one_line
from lit_bg.shipped import locate

PDB_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")
AMBER_SUFFIXES = (".inpcrd", ".rst7", ".restrt", ".ncrst")
CHARMM_SUFFIXES = (".cor", ".crd")
BROKEN = 0.4  # [nm], from where a bond three times as long as the median one is cut by a periodic box
COINCIDENT = 0.03  # [nm] between atoms in one place
PEPTIDE_BOND = 0.16  # [nm] at most


class Coordinates(NamedTuple):
    """Holds what a file of coordinates says."""

    positions: np.ndarray  # (N, 3) float64 [nm]
    box: Any  # vectors of the unit cell as OpenMM has them, or None
    elements: list[str | None] | None  # symbols, where the file has them


def read_coordinates(path: str, amber: bool = False) -> Coordinates:
    """Read positions, and box and elements where the file has them.

    Args:
        path: .pdb .ent .cif .mmcif, .gro, Amber's .inpcrd .rst7 .restrt .ncrst .crd or CHARMM's .cor .crd.
        amber: a .crd file is Amber's and not CHARMM's.

    Raises:
        ValueError: no such file, an unknown suffix, or text that is not of this format.
    """
    from openmm import app

    file = existing("coordinates", path)
    suffix = file.suffix.lower()
    box, elements = None, None
    if suffix in PDB_SUFFIXES:
        read = read_topology(path)
        box = read.topology.getPeriodicBoxVectors()
        elements = [None if a.element is None else a.element.symbol for a in read.topology.atoms()]
    elif suffix == ".gro":
        read = parse(file, app.GromacsGroFile)
        box = read.getPeriodicBoxVectors()
        if box is not None and not any(box[k][k]._value for k in range(3)):
            box = None  # a molecule without a box has a line of zeros
    elif suffix in AMBER_SUFFIXES or (suffix == ".crd" and amber):
        read = parse(file, app.AmberInpcrdFile)
        box = read.boxVectors
    elif suffix in CHARMM_SUFFIXES:
        read = parse(file, app.CharmmCrdFile)
    else:
        known = ", ".join([*PDB_SUFFIXES, ".gro", *AMBER_SUFFIXES, *CHARMM_SUFFIXES])
        raise ValueError(f"coordinates {path} have the suffix '{file.suffix}', known are {known}.")
    return Coordinates(_nanometres(read.positions), box, elements)


def read_topology(path: str) -> Any:
    """Read a PDB or mmCIF file by OpenMM (`.topology`, `.positions`).

    Raises:
        ValueError: no such file, or not one of the two formats, or bonds of impossible length.
    """
    from openmm import app

    file = existing("topology", path)
    if file.suffix.lower() not in PDB_SUFFIXES:
        raise ValueError(f"topology {path} has the suffix '{file.suffix}': give a .pdb or .cif file.")
    read = parse(file, app.PDBFile if file.suffix.lower() in (".pdb", ".ent") else app.PDBxFile)
    close_rings(read.topology, _nanometres(read.positions))
    check_bonds(read.topology, _nanometres(read.positions), path)
    return read


def close_rings(topology: Any, x: np.ndarray) -> None:
    """Join C of the last residue of a chain to N of the first where they are as near as in a peptide; no file says it."""
    bonded = {frozenset((b[0].index, b[1].index)) for b in topology.bonds()}
    for chain in topology.chains():
        residues = list(chain.residues())
        n, c = (next((a for a in r.atoms() if a.name == name), None) for r, name in ((residues[0], "N"), (residues[-1], "C")))
        if len(residues) < 2 or n is None or c is None:
            continue
        near = np.linalg.norm(x[n.index] - x[c.index]) < PEPTIDE_BOND
        if near and frozenset((n.index, c.index)) not in bonded:
            topology.addBond(c, n)


def existing(what: str, path: str) -> Path:
    """Return the path of a file; where there is none, that of the one which ships with lit_bg under this name.

    Raises:
        ValueError: there is neither; with the closest name in its folder.
    """
    file = Path(locate(path))
    if not file.is_file():
        siblings = [p.name for p in file.parent.glob("*")] if file.parent.is_dir() else []
        near = difflib.get_close_matches(file.name, siblings, 1)
        hint = f"did you mean {file.with_name(near[0])}?" if near else "paths are relative to the working directory."
        raise ValueError(f"{what} {path} does not exist: {hint}")
    return file


def parse(file: Path, reader: Any, **options: Any) -> Any:
    """Return what a reader of OpenMM makes of a file.

    Raises:
        ValueError: whatever the reader raises, which is anything from IndexError to KeyError on bad text.
    """
    try:
        return reader(str(file), **options)
    except Exception as error:
        raise ValueError(f"{file} cannot be read as {file.suffix[1:]}: {type(error).__name__}, {one_line(error)}.") from error


def check_atoms(topology: Any, found: Coordinates, path: str, coordinates: str) -> None:
    """Check that topology and coordinates are of one molecule, its atoms in one order, in the right unit.

    Raises:
        ValueError: if not.
    """
    n = topology.getNumAtoms()
    if n != len(found.positions):
        raise ValueError(
            f"topology {path} has {n} atoms, coordinates {coordinates} have {len(found.positions)}: "
            "they must be of one molecule with all its hydrogens."
        )
    for atom, symbol in zip(topology.atoms(), found.elements or [], strict=False):
        if atom.element is not None and symbol is not None and atom.element.symbol != symbol:
            raise ValueError(
                f"atom {atom.index + 1} is {atom.element.symbol} ({atom.name}) in {path} and {symbol} in {coordinates}: "
                "the atoms must be in one order."
            )
    if not np.isfinite(found.positions).all():
        raise ValueError(f"coordinates {coordinates} are not finite: give a position for every atom.")
    check_bonds(topology, found.positions, coordinates)


def check_bonds(topology: Any, x: np.ndarray, path: str) -> None:
    """Check that bonds are as long as bonds are, and that no two atoms are in one place.

    Raises:
        ValueError: positions in another unit, or in another order than the topology's, a broken bond, coincident atoms.
    """
    atoms = list(topology.atoms())
    pairs = np.array([(b[0].index, b[1].index) for b in topology.bonds()]).reshape(-1, 2)
    if len(pairs):
        _check_lengths(atoms, pairs, x, path)
    _check_overlaps(atoms, x, path)


def _check_lengths(atoms: list[Any], pairs: np.ndarray, x: np.ndarray, path: str) -> None:
    each = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=-1)
    length = float(np.median(each))
    chemical = all(atoms[i].element is not None for i in pairs.ravel())  # bonds of beads are of any length
    if chemical and not 0.05 < length < 0.4:
        unit = "nanometres" if Path(path).suffix.lower() == ".gro" else "angstrom"
        raise ValueError(
            f"the median bond of {path} is {length:.3g} nm long, a chemical bond 0.07 to 0.25 nm: such files hold coordinates "
            f"in {unit}, with the atoms in the order of the topology."
        )
    worst = int(each.argmax())
    if each[worst] > max(BROKEN, 3 * length):
        i, j = pairs[worst]
        raise ValueError(
            f"the bond {_name(atoms[i])} - {_name(atoms[j])} of {path} is {each[worst]:.3g} nm long: make the molecule whole, "
            "as it is on one side of a periodic box."
        )


def _check_overlaps(atoms: list[Any], x: np.ndarray, path: str) -> None:
    """Refuse two atoms or beads in one place; a virtual site or Drude particle, without an element, may be near its atom."""
    close = sorted(cKDTree(x).query_pairs(COINCIDENT)) if np.isfinite(x).all() else []
    close = [(i, j) for i, j in close if (atoms[i].element is None) == (atoms[j].element is None)]
    if close:
        i, j = close[0]
        raise ValueError(
            f"{_name(atoms[i])} and {_name(atoms[j])} of {path} are {np.linalg.norm(x[i] - x[j]):.2g} nm apart: no two atoms "
            "can be in one place, so mend the coordinates."
        )


def _name(atom: Any) -> str:
    return f"{atom.name} of {atom.residue.name}{atom.residue.id}"


def _nanometres(positions: Any) -> np.ndarray:
    from openmm import unit

    return np.asarray(positions.value_in_unit(unit.nanometer), dtype=np.float64)
