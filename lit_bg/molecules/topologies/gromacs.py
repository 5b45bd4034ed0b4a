"""Molecules from the files of GROMACS."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lit_bg.molecules.coordinates import parse
from lit_bg.molecules.topologies.included import topology_with_includes
from lit_bg.molecules.topologies.topology_file import TopologyFile

READ = """atoms bonds pairs angles dihedrals exclusions constraints settles cmap virtual_sites dummies
moleculetype molecules system"""
"""Directives of a molecule in a GROMACS topology that OpenMM reads"""


class GROMACS(TopologyFile):
    """Reads a GROMACS topology with the force field that it includes, and a file of coordinates.

    Args:
        path: .top.
        coordinates: .gro or .pdb, with the unit cell if there is one.
        include: the directory of its #include files; None: beside it, or that of GROMACS (GMXDATA).
        defines: names for its #ifdef with their values, such as {FLEXIBLE: ""}.
        nonbonded: NoCutoff, CutoffNonPeriodic, or with a unit cell CutoffPeriodic, Ewald, PME, LJPME.
        cutoff: of all but NoCutoff [nm].

    Raises:
        ValueError: an unknown name, a cutoff that is not positive or an `include` that is no directory; from `build`, files
            that are missing, unreadable or of different molecules, coordinates in another unit, no box or too small a one,
            constraints, virtual sites.
    """

    def __init__(
        self,
        path: str,
        coordinates: str,
        include: str | None = None,
        defines: dict[str, str] | None = None,
        nonbonded: str = "NoCutoff",
        cutoff: float = 1.0,
    ) -> None:
        super().__init__(path, coordinates, nonbonded, cutoff)
        self.include, self.defines = include, defines
        if include is not None and not Path(include).is_dir():
            raise ValueError(f"include={include} is not a directory: give the one that the #include files of {path} lie in.")

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        spelt = super().spell(arguments)
        folder = spelt.pop("include")  # it matters by the files that are included from it
        return spelt | {"path": topology_with_includes(spelt["path"], folder), "defines": spelt["defines"] or None}

    def parse(self, box: Any) -> tuple[Any, Callable[[], Any]]:
        try:
            options = {"defines": dict(self.defines)} if self.defines else {}
            read = parse(self.file, _reader(), periodicBoxVectors=box, includeDir=self.include, **options)
        except ValueError as error:
            if "#include" not in str(error):
                raise
            raise ValueError(
                f"{str(error)[:-1]}; set include: directory that holds it (forcefield: [directory] beside a topology that is a "
                "path), or GMXDATA."
            ) from error
        if read.left_out:
            warnings.warn(
                f"{self.path} has {', '.join(f'[ {name} ]' for name in read.left_out)}, which OpenMM leaves out of the energy: "
                "what they hold is free here.",
                stacklevel=4,
            )
        return read.topology, lambda: self.create(read.createSystem)


def _reader() -> Any:
    """Return OpenMM's reader of GROMACS topologies, which also notes the directives that it passes over, in `left_out`."""
    from openmm import app

    class Noting(app.GromacsTopFile):
        def __init__(self, *args: Any, **options: Any) -> None:
            self.left_out: dict[str, None] = {}  # in their order; all lines are read by the constructor
            super().__init__(*args, **options)

        def _processLine(self, line: str, file: str) -> None:  # of every line of every included file
            super()._processLine(line, file)
            category = self._currentCategory
            if category is None or not all(self._ifStack) or self._currentMoleculeType is None:
                return
            if category.rstrip("234n") not in READ.split() and not category.endswith("types"):
                self.left_out[category] = None

    return Noting
