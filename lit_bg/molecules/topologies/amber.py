"""Molecules from the files of Amber."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lit_bg.molecules.coordinates import parse
from lit_bg.molecules.topologies.topology_file import TopologyFile


class Amber(TopologyFile):
    """Reads an Amber topology, which holds its force field, and a file of coordinates.

    Args:
        path: .prmtop or .parm7.
        coordinates: .inpcrd, .rst7 or .crd of Amber, .pdb or .gro; with the unit cell if there is one.
        nonbonded: NoCutoff, CutoffNonPeriodic, or with a unit cell CutoffPeriodic, Ewald, PME, LJPME.
        cutoff: of all but NoCutoff [nm].
        implicit_solvent: HCT, OBC1, OBC2, GBn or GBn2, with OpenMM's surface term (ACE).

    Raises:
        ValueError: an unknown name or a cutoff that is not positive; from `build`, files that are missing, unreadable or of
            different molecules, coordinates in another unit, no box or too small a one, constraints, virtual sites.
    """

    amber = True

    def __init__(
        self,
        path: str,
        coordinates: str,
        nonbonded: str = "NoCutoff",
        cutoff: float = 1.0,
        implicit_solvent: str | None = None,
    ) -> None:
        super().__init__(path, coordinates, nonbonded, cutoff, implicit_solvent)

    def parse(self, box: Any) -> tuple[Any, Callable[[], Any]]:
        from openmm import app

        read = parse(self.file, app.AmberPrmtopFile, periodicBoxVectors=box)
        return read.topology, lambda: self.create(read.createSystem, implicitSolvent=self.solvent)
