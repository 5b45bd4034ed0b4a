"""Molecules whose forces are an OpenMM System already: serialized, or at hand in Python."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np

from lit_bg.identity import digest, identify
from lit_bg.molecules.coordinates import read_topology
from lit_bg.molecules.force_field import free_coordinates, read_system
from lit_bg.molecules.topologies.base import Read, Topology
from lit_bg.molecules.topologies.options import check_box, longest_cutoff
from lit_bg.molecules.topologies.pdb import PDB


class SerializedSystem(Topology):
    """Takes the forces from a serialized OpenMM System, and atoms and positions from another topology.

    Args:
        path: XML of `openmm.XmlSerializer`, made with constraints=None, rigidWater=False. How it treats nonbonded pairs is its
            own.
        structure: a PDB or mmCIF file, or a topology of another program, which names the atoms; its own forces are not made.

    Raises:
        ValueError: a structure that is given a force field or an implicit solvent; from `build`, no such file, no System, one
            of another molecule, constraints in place of bonds, virtual sites, too small a box.
    """

    def __init__(self, path: str, structure: str | Topology | Path) -> None:
        self.path = path
        self.structure = structure if isinstance(structure, Topology) else PDB(str(structure))
        self.name = self.structure.name
        if self.structure.forcefield is not None or self.structure.implicit_solvent is not None:
            raise ValueError(f"system {path} holds its own force field and solvent: leave forcefield and implicit_solvent out.")

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        given = arguments["structure"]
        node = identify(given if isinstance(given, Topology) else PDB(str(given)))
        of_atoms = {name: value for name, value in node["parameters"].items() if name not in ("nonbonded", "cutoff")}
        return {"path": Path(arguments["path"]), "structure": node | {"parameters": of_atoms}}

    def read(self) -> Read:
        atoms, positions, _ = self.structure.read()

        def make_system() -> Any:
            system = read_system(self.path, atoms.getNumAtoms())
            if system.usesPeriodicBoundaryConditions():
                check_box(system.getDefaultPeriodicBoxVectors(), longest_cutoff(system), f"system {self.path}")
            return system

        return Read(atoms, positions, make_system)


class OpenMMObjects(Topology):
    """Takes a molecule from objects of OpenMM; in Python only.

    Args:
        system: an openmm.System without constraints. It is copied.
        read: something with `.topology` and `.positions`, as PDBFile and Modeller have, or the path of a PDB or mmCIF file.

    Raises:
        ValueError: from `build`, constraints in place of bonds, virtual sites, or another number of atoms.
    """

    def __init__(self, system: Any, read: Any) -> None:
        self.system, self.source = system, read
        self.name = str(read) if isinstance(read, (str, Path)) else ""

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        from openmm import XmlSerializer

        text = re.sub(' openmmVersion="[^"]*"', "", XmlSerializer.serialize(arguments["system"]))
        read = cls(**arguments).read()
        atoms = [(a.name, None if a.element is None else a.element.symbol, a.residue.name) for a in read.atoms.atoms()]
        bonds = [(a.index, b.index) for a, b in read.atoms.bonds()]
        known = {"atoms": repr([atoms, bonds]).encode(), "positions": read.positions.astype(np.float32).tobytes()}
        return {
            "system": {"sha256": digest(text.encode())},
            "read": {name: {"sha256": digest(content)} for name, content in known.items()},
        }

    def read(self) -> Read:
        from openmm import unit

        read = read_topology(self.name) if self.name else self.source
        positions = np.asarray(read.positions.value_in_unit(unit.nanometer), dtype=np.float64)
        return Read(read.topology, positions, self._free_system)

    def _free_system(self) -> Any:
        return free_coordinates(copy.deepcopy(self.system), "the System", "make it with constraints=None, rigidWater=False")
