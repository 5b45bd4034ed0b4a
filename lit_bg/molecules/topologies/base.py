"""Contract of topologies: what a molecule is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lit_bg.identity import Configured
from lit_bg.molecules.force_field import free_coordinates
from lit_bg.molecules.structure import NO_ELEMENT, Structure, bonds_of, harmonic_terms


class Read(NamedTuple):
    """Holds a molecule as OpenMM has it, and what makes its System."""

    atoms: Any  # openmm.app.Topology
    positions: np.ndarray  # (N, 3) float64 [nm]
    make_system: Callable[[], Any]  # returns an openmm.System


class Topology(Configured, ABC):
    """Says what a molecule is made of: atoms and bonds, a first configuration, and the forces between atoms.

    A subclass stands for one kind of source. It defines `read`; a source of your own works the same way, as long as OpenMM can
    hold it, and is named in YAML by its full path.

        class Argon(Topology):
            name = "two atoms of argon"

            def read(self) -> Read:
                return Read(atoms, positions, lambda: system)  # openmm.app.Topology, (2, 3) [nm], openmm.System

    What tells it from others is its class and the arguments of its constructor, files by their content.
    """

    reads_later = True  # `build` opens the files
    name: str = ""  # of the molecule in messages and figures; empty: called by its number of atoms
    forcefield: list[str] | None = None  # files that the System is made with, where the source itself does not hold the forces
    implicit_solvent: str | None = None

    @abstractmethod
    def read(self) -> Read:
        """Return atoms, positions and what makes the System; nothing is computed yet.

        Raises:
            ValueError: a missing or unreadable file, or files of different molecules.
        """

    def build(self) -> tuple[Structure, Any]:
        """Return the structure, with the positions of the source, and an openmm.System of which every coordinate is free.

        Raises:
            ValueError: as of `read`, a System that cannot be made or has another number of particles, constraints in place of
                bonds, virtual sites.
        """
        read = self.read()
        system = free_coordinates(
            read.make_system(), self.name or "the System", "make it with constraints=None, rigidWater=False"
        )
        particles, atoms = system.getNumParticles(), read.atoms.getNumAtoms()
        if particles != atoms:
            raise ValueError(f"the System has {particles} particles and the topology {atoms} atoms.")
        return _structure(read, system), system


def _structure(read: Read, system: Any) -> Structure:
    """Return plain data of an OpenMM topology and System."""
    atoms, residues = list(read.atoms.atoms()), list(read.atoms.residues())
    bonds, angles = harmonic_terms(system)
    return Structure(
        positions=read.positions,
        names=tuple(a.name for a in atoms),
        elements=tuple(a.element.symbol if a.element is not None else NO_ELEMENT for a in atoms),
        masses=tuple(system.getParticleMass(i)._value for i in range(len(atoms))),
        bonds=bonds_of(read.atoms, system),
        residues=tuple(r.name for r in residues),
        residue_of=tuple(a.residue.index for a in atoms),
        residue_numbers=tuple(r.id for r in residues),
        harmonic_bonds=bonds,
        harmonic_angles=angles,
    )
