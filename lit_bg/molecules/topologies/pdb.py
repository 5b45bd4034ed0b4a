"""Molecules from PDB and mmCIF files, with a force field of OpenMM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lit_bg.molecules.coordinates import read_topology
from lit_bg.molecules.force_field import system_from_force_field
from lit_bg.molecules.topologies.included import force_field_file
from lit_bg.molecules.topologies.topology_file import TopologyFile


class PDB(TopologyFile):
    """Reads a PDB or mmCIF file with hydrogens, and gives it a force field of OpenMM.

    >>> PDB("experiments/alanine_dipeptide.pdb", ["amber96.xml", "implicit/obc1.xml"]).name
    'experiments/alanine_dipeptide.pdb'

    Args:
        path: .pdb, .ent, .cif or .mmcif; the first configuration too.
        forcefield: OpenMM's files (`amber96.xml`, `implicit/obc1.xml`) or yours, implicit solvent included. Needed, except
            where the file only names the atoms of a `SerializedSystem`.
        coordinates: another file with the first configuration; .pdb, .cif, .gro, Amber's .inpcrd and .rst7, CHARMM's .crd.
        nonbonded: NoCutoff, CutoffNonPeriodic, or with a unit cell CutoffPeriodic, Ewald, PME, LJPME.
        cutoff: of all but NoCutoff [nm].

    Raises:
        ValueError: an unknown name or a cutoff that is not positive; from `build`, files that are missing, unreadable or of
            different molecules, residues that the force field does not know, coordinates in another unit, no box or too small
            a one.
    """

    def __init__(
        self,
        path: str,
        forcefield: list[str] | None = None,
        coordinates: str | None = None,
        nonbonded: str = "NoCutoff",
        cutoff: float = 1.0,
    ) -> None:
        super().__init__(path, coordinates, nonbonded, cutoff)
        self.forcefield = forcefield

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        files = arguments["forcefield"]
        return super().spell(arguments) | {"forcefield": None if files is None else [force_field_file(f) for f in files]}

    def parse(self, box: Any) -> tuple[Any, Callable[[], Any]]:
        atoms = read_topology(self.path).topology
        atoms.setPeriodicBoxVectors(box)
        return atoms, lambda: system_from_force_field(atoms, self.forcefield or [], self.nonbonded, self.cutoff)
