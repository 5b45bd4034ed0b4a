"""Atoms, residues and bonds of a molecule as plain data."""

from __future__ import annotations

import difflib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Structure:
    """What the topology file and the force field say of a molecule, without any object of OpenMM or mdtraj.

    Plain data, so that a molecule can be pickled, copied and sent to another process.
    """

    positions: np.ndarray  # (N, 3) float64 [nm], centred at the centre of geometry
    names: tuple[str, ...]  # of the atoms
    elements: tuple[str, ...]  # symbols
    masses: tuple[float, ...]  # [amu]
    bonds: tuple[tuple[int, int], ...]
    residues: tuple[str, ...]  # names
    residue_of: tuple[int, ...]  # index into residues, per atom
    harmonic_bonds: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    """(i, j), i < j: equilibrium length [nm] and force constant [kJ/mol/nm^2]"""
    harmonic_angles: dict[tuple[int, int, int], tuple[float, float]] = field(default_factory=dict)
    """(i, j, k), i < k: equilibrium angle [rad] and force constant [kJ/mol/rad^2]"""

    @property
    def n_atoms(self) -> int:
        return len(self.names)

    def atom(self, residue: int, name: str) -> int | None:
        """Index of the atom `name` of a residue, None if there is none."""
        if not 0 <= residue < len(self.residues):
            return None
        own = (i for i, r in enumerate(self.residue_of) if r == residue and self.names[i] == name)
        return next(own, None)

    def atoms(self, *wanted: tuple[int, str]) -> tuple[int, ...] | None:
        """Indices of several (residue, name), None unless all exist and each is bonded to the next."""
        found = [self.atom(*w) for w in wanted]
        if any(i is None for i in found):
            return None
        indices = [i for i in found if i is not None]
        bonds = {frozenset(b) for b in self.bonds}
        if any(frozenset(pair) not in bonds for pair in itertools.pairwise(indices)):
            return None
        return tuple(indices)

    @property
    def backbone_torsions(self) -> dict[str, tuple[int, ...]]:
        """Atoms of the peptide torsions by name: phi (C-N-CA-C) and psi (N-CA-C-N), numbered if several."""
        n = range(len(self.residues))
        phi = [self.atoms((r - 1, "C"), (r, "N"), (r, "CA"), (r, "C")) for r in n]
        psi = [self.atoms((r, "N"), (r, "CA"), (r, "C"), (r + 1, "N")) for r in n]
        torsions: dict[str, tuple[int, ...]] = {}
        for name, quads in (("phi", phi), ("psi", psi)):
            found = [q for q in quads if q is not None]
            torsions |= {name if len(found) == 1 else f"{name} {k}": q for k, q in enumerate(found, 1)}
        return torsions

    @property
    def chiral_centres(self) -> tuple[tuple[int, ...], ...]:
        """(CA, N, C, CB) of every amino acid with a side chain."""
        centres = []
        for r in range(len(self.residues)):
            path, side = self.atoms((r, "N"), (r, "CA"), (r, "C")), self.atoms((r, "CA"), (r, "CB"))
            if path is not None and side is not None:
                centres.append((path[1], path[0], path[2], side[1]))
        return tuple(centres)


def read_topology(path: str) -> Any:
    """The OpenMM reader (`.topology`, `.positions`) of a PDB or mmCIF file.

    Raises:
        ValueError: no such file, or not one of the two formats, or bonds of impossible length.
    """
    from openmm import app, unit

    file = Path(path)
    if not file.is_file():
        siblings = [p.name for p in file.parent.glob("*")] if file.parent.is_dir() else []
        near = difflib.get_close_matches(file.name, siblings, 1)
        hint = f"did you mean {file.with_name(near[0])}?" if near else "paths are relative to the working directory."
        raise ValueError(f"topology {path} does not exist: {hint}")
    readers = {".pdb": app.PDBFile, ".ent": app.PDBFile, ".cif": app.PDBxFile, ".mmcif": app.PDBxFile}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ValueError(f"topology {path} has the suffix '{file.suffix}': give a .pdb or .cif file.")
    try:
        read = reader(str(file))
    except Exception as error:  # its readers raise anything from IndexError to KeyError on bad text
        raise ValueError(f"topology {path} cannot be read as {file.suffix[1:]}: {error}.") from error
    x = np.asarray(read.positions.value_in_unit(unit.nanometer), dtype=np.float64)
    pairs = np.array([(b[0].index, b[1].index) for b in read.topology.bonds()]).reshape(-1, 2)
    if len(pairs):
        length = float(np.median(np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=-1)))
        if not 0.05 < length < 0.4:
            raise ValueError(
                f"the median bond of {path} is {length:.3g} nm long, a chemical bond 0.07 to 0.25 nm: "
                "PDB and mmCIF files hold coordinates in angstrom."
            )
    return read
