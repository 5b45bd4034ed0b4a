"""Molecules from the files of CHARMM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lit_bg.molecules.coordinates import existing, parse
from lit_bg.molecules.force_field import one_line
from lit_bg.molecules.topologies.topology_file import TopologyFile


class CHARMM(TopologyFile):
    """Reads a CHARMM psf file, its parameters, and a file of coordinates.

    Args:
        path: .psf.
        coordinates: .crd or .cor of CHARMM, .pdb or .gro; with the unit cell if there is one.
        parameters: CHARMM's .rtf, .prm and .str files. Needed, except where the file only names the atoms of a
            `SerializedSystem`.
        nonbonded: NoCutoff, CutoffNonPeriodic, or with a unit cell CutoffPeriodic, Ewald, PME, LJPME.
        cutoff: of all but NoCutoff [nm].
        implicit_solvent: HCT, OBC1, OBC2, GBn or GBn2, without a surface term.

    Raises:
        ValueError: an unknown name or a cutoff that is not positive; from `build`, files that are missing, unreadable or of
            different molecules, missing parameters, coordinates in another unit, no box or too small a one, virtual sites.
    """

    def __init__(
        self,
        path: str,
        coordinates: str,
        parameters: list[str] | None = None,
        nonbonded: str = "NoCutoff",
        cutoff: float = 1.0,
        implicit_solvent: str | None = None,
    ) -> None:
        super().__init__(path, coordinates, nonbonded, cutoff, implicit_solvent)
        self.forcefield = parameters

    def parse(self, box: Any) -> tuple[Any, Callable[[], Any]]:
        from openmm import app

        files = [str(existing("force-field file", f)) for f in self.forcefield or []]
        read = parse(self.file, app.CharmmPsfFile, periodicBoxVectors=box)

        def create() -> Any:
            if not files:
                raise ValueError(
                    f"topology {self.path} needs parameters=[...] (forcefield=[...] beside a topology that is a path), "
                    "CHARMM's .rtf, .prm and .str files."
                )
            try:
                parameters = app.CharmmParameterSet(*files)
            except Exception as error:
                raise ValueError(
                    f"the force field {', '.join(files)} cannot be read: {one_line(error)}; "
                    "CHARMM's files are .rtf, .top, .par, .prm, .str and .inp."
                ) from error
            return self.create(read.createSystem, params=parameters, implicitSolvent=self.solvent)

        return read.topology, create
