"""The common part of topologies of all programs: a file of atoms, one of coordinates, and a way to treat pairs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lit_bg.molecules.coordinates import check_atoms, existing, read_coordinates
from lit_bg.molecules.force_field import free_coordinates, one_line, system_options
from lit_bg.molecules.topologies.base import Read, Topology
from lit_bg.molecules.topologies.options import PERIODIC, check_box, check_implicit_solvent, check_nonbonded


class TopologyFile(Topology):
    """Reads a molecule from the files of a program; a subclass defines `parse`.

    Args:
        path: the file of atoms and bonds.
        coordinates: the file of positions, and of the unit cell if there is one; None: the same.
        nonbonded: NoCutoff, CutoffNonPeriodic, or with a unit cell CutoffPeriodic, Ewald, PME, LJPME.
        cutoff: of all but NoCutoff [nm].
        implicit_solvent: HCT, OBC1, OBC2, GBn or GBn2, where the format takes it by name.

    Raises:
        ValueError: an unknown name, or a cutoff that is not positive. The files are opened by `build`.
    """

    amber = False  # whether coordinates with the suffix .crd are Amber's, and not CHARMM's

    def __init__(
        self, path: str, coordinates: str | None, nonbonded: str, cutoff: float, implicit_solvent: str | None = None
    ) -> None:
        check_nonbonded(nonbonded, cutoff)
        check_implicit_solvent(implicit_solvent)
        self.path, self.coordinates = path, coordinates
        self.nonbonded, self.cutoff, self.implicit_solvent = nonbonded, cutoff, implicit_solvent
        self.name = path

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        spelt = {**arguments, "path": Path(arguments["path"])}
        if spelt.get("coordinates") is not None:
            same = Path(spelt["coordinates"]).absolute() == spelt["path"].absolute()
            spelt["coordinates"] = None if same else Path(spelt["coordinates"])
        if spelt.get("nonbonded") == "NoCutoff":
            spelt.pop("cutoff", None)
        return spelt

    @property
    def file(self) -> Path:
        """Return the path of the file, which exists.

        Raises:
            ValueError: it does not; with the closest name in its folder.
        """
        return existing("topology", self.path)

    @abstractmethod
    def parse(self, box: Any) -> tuple[Any, Callable[[], Any]]:
        """Return an openmm.app.Topology and what makes its System, in a unit cell of these vectors, or without (None)."""

    def read(self) -> Read:
        file, source = self.file, self.coordinates or self.path
        found = read_coordinates(source, amber=self.amber)
        atoms, create = self.parse(found.box)
        check_atoms(atoms, found, str(file), source)

        def make_system() -> Any:
            if self.nonbonded in PERIODIC:
                check_box(atoms.getPeriodicBoxVectors(), self.cutoff, f"nonbonded={self.nonbonded}")
            return free_coordinates(create(), f"topology {file}", "take [ constraints ] and [ settles ] out of it")

        return Read(atoms, found.positions, make_system)

    def create(self, method: Callable[..., Any], **options: Any) -> Any:
        """Return the System that the method `createSystem` of one of OpenMM's readers makes.

        Raises:
            ValueError: whatever it raises, which is anything from KeyError to classes of its own.
        """
        try:
            return method(**system_options(self.nonbonded, self.cutoff), **options)
        except Exception as error:
            raise ValueError(
                f"OpenMM cannot make a System of {self.path}: {type(error).__name__}, {one_line(error)}."
            ) from error

    @property
    def solvent(self) -> Any:
        """Return OpenMM's name of the implicit solvent, or None."""
        from openmm import app

        return None if self.implicit_solvent is None else getattr(app, self.implicit_solvent)
