"""Atoms, residues and bonds of a molecule as plain data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

SIDE_CHAIN = (
    ("CG", "CG1", "OG", "OG1", "SG"),
    ("CD", "CD1", "OD1", "ND1", "SD"),
    ("NE", "OE1", "CE"),
    ("CZ", "NZ"),
    ("NH1",),
)
"""The last atom of chi1, chi2, ...: N-CA-CB-x and so on outwards, by IUPAC-IUB (1970) where the chain forks"""

NO_ELEMENT = "X"  # the symbol of an atom that has none, such as a bead of a coarse-grained model
Neighbours = tuple[tuple[int, ...], ...]  # of every atom


@dataclass(frozen=True)
class Structure:
    """Holds what topology file and force field say of a molecule, without any object of OpenMM or mdtraj.

    Plain data, so that a molecule can be pickled, copied and sent to another process.
    """

    positions: np.ndarray  # (N, 3) float64 [nm]; of a molecule's, centred unless an external field holds it
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
    residue_numbers: tuple[str, ...] = ()
    """of the topology file, in the order of residues; empty: counted from 1"""

    @property
    def n_atoms(self) -> int:
        return len(self.names)

    def atom(self, residue: int, name: str) -> int | None:
        """Return the index of the atom `name` of a residue, None if there is none."""
        return self._by_name.get((residue, name))

    def atoms(self, *wanted: tuple[int, str]) -> tuple[int, ...] | None:
        """Return the indices of several (residue, name), None unless all exist and each is bonded to the next."""
        found = [self.atom(*w) for w in wanted]
        if any(i is None for i in found):
            return None
        indices = [i for i in found if i is not None]
        if any(frozenset(pair) not in self._bonded for pair in itertools.pairwise(indices)):
            return None
        return tuple(indices)

    @cached_property
    def _by_name(self) -> Mapping[tuple[int, str], int]:
        places = list(zip(self.residue_of, self.names, strict=True))
        return {place: i for i, place in reversed(list(enumerate(places)))}  # the first of equal names

    @cached_property
    def _bonded(self) -> frozenset[frozenset[int]]:
        return frozenset(frozenset(b) for b in self.bonds)

    @cached_property
    def neighbours(self) -> Neighbours:
        """Return the atoms bonded to each atom."""
        found: list[list[int]] = [[] for _ in range(self.n_atoms)]
        for i, j in self.bonds:
            found[i].append(j)
            found[j].append(i)
        return tuple(tuple(near) for near in found)

    def bonds_between(self, atom: int, reach: int | None = None) -> dict[int, int]:
        """Return the number of bonds from an atom to every other that hangs together with it, up to `reach` bonds away."""
        found, edge, steps = {atom: 0}, [atom], 0
        while edge and steps != reach:
            steps += 1
            edge = list(dict.fromkeys(j for i in edge for j in self.neighbours[i] if j not in found))
            found |= dict.fromkeys(edge, steps)
        return found

    @cached_property
    def bond_lengths(self) -> torch.Tensor:
        """Return the lengths of all bonds, (M,) [nm]: the equilibrium of the harmonic term, else as in the topology file."""
        ends = np.array(self.bonds, dtype=int).reshape(-1, 2)
        file = np.linalg.norm(self.positions[ends[:, 0]] - self.positions[ends[:, 1]], axis=1)
        known = [self.harmonic_bonds.get((min(b), max(b)), (None,))[0] for b in self.bonds]
        return torch.tensor([f if r is None else r for r, f in zip(known, file.tolist(), strict=True)], dtype=torch.float64)

    @property
    def residue_labels(self) -> tuple[str, ...]:
        """Return name and number of residues, such as VAL2; counted from 1 where the file's numbers are missing or repeat."""
        numbered = tuple(f"{name}{k}" for name, k in zip(self.residues, self.residue_numbers, strict=False))
        if len(set(numbered)) == len(self.residues):
            return numbered
        return tuple(f"{name}{k}" for k, name in enumerate(self.residues, 1))

    @cached_property
    def backbone(self) -> tuple[tuple[int, int, int], ...]:
        """Return (N, CA, C) of every residue that has them bonded, in the order of the file."""
        paths = (self.atoms((r, "N"), (r, "CA"), (r, "C")) for r in range(len(self.residues)))
        return tuple((p[0], p[1], p[2]) for p in paths if p is not None)

    @cached_property
    def backbone_torsions(self) -> dict[str, tuple[int, ...]]:
        """Return the atoms of the peptide torsions by name: phi (C-N-CA-C) and psi (N-CA-C-N).

        They follow the peptide bonds and not the order of residues, so that a ring has as many of either as residues. If there
        are several residues with a backbone, phi k and psi k are those of the k-th.
        """
        phi, psi = {}, {}
        for k, (n, ca, c) in enumerate(self.backbone, 1):
            before, after = self._peptide_neighbour(n, "C", ca), self._peptide_neighbour(c, "N", ca)
            if before is not None:
                phi[k] = (before, n, ca, c)
            if after is not None:
                psi[k] = (n, ca, c, after)
        several = len(self.backbone) > 1
        return {
            name if not several else f"{name} {k}": quad
            for name, quads in (("phi", phi), ("psi", psi))
            for k, quad in quads.items()
        }

    def _peptide_neighbour(self, atom: int, name: str, own: int) -> int | None:
        """Return the atom on the other side of a peptide bond: called `name`, or else of that element in another residue."""
        near = [i for i in self.neighbours[atom] if i != own and self.elements[i] == name]
        near = [i for i in near if self.residue_of[i] != self.residue_of[atom]]
        return min(near, key=lambda i: (self.names[i] != name, i), default=None)

    @property
    def chi_torsions(self) -> dict[str, tuple[int, ...]]:
        """Return the atoms of side-chain torsions: chi1 (N-CA-CB-XG) outwards, "chi1 VAL2" if several residues have some."""
        angles: dict[int, list[tuple[int, ...]]] = {}
        for r in range(len(self.residues)):
            path = self.atoms((r, "N"), (r, "CA"), (r, "CB"))
            if path is None:
                continue
            for names in SIDE_CHAIN:
                bonded = (i for name in names if (i := self.atom(r, name)) is not None)
                last = next((i for i in bonded if frozenset((path[-1], i)) in self._bonded), None)
                if last is None:
                    break
                path = (*path, last)
                angles.setdefault(r, []).append(path[-4:])
        return {
            f"chi{k}" + (f" {self.residue_labels[r]}" if len(angles) > 1 else ""): atoms
            for r, chis in angles.items()
            for k, atoms in enumerate(chis, 1)
        }

    @property
    def end_to_end(self) -> tuple[int, int] | None:
        """Return the two atoms whose distance tells how stretched a peptide is; None for no peptide, a ring or several chains.

        CA of the two ends of the chain, whatever the order of residues in the file; of a chain of one amino acid the two atoms
        of its backbone, carbons of the caps included, that are farthest apart along bonds: in ACE-ALA-NME the two methyls.
        Several chains, and branches with a backbone of their own, have more ends than two.
        """
        carbonyls, nitrogens = {c for _, _, c in self.backbone}, {n for n, _, _ in self.backbone}
        first = [ca for n, ca, _ in self.backbone if carbonyls.isdisjoint(self.neighbours[n])]
        last = [ca for _, ca, c in self.backbone if nitrogens.isdisjoint(self.neighbours[c])]
        if not len(first) == len(last) == 1:
            return None
        if first != last:
            return first[0], last[0]
        chain = [i for i in sorted(self.bonds_between(first[0])) if self.names[i] in ("CH3", "N", "CA", "C")]
        return max(itertools.combinations(chain, 2), key=lambda pair: self.bonds_between(pair[0])[pair[1]])

    @property
    def chiral_centres(self) -> tuple[tuple[int, ...], ...]:
        """Return (CA, N, C, CB) of every amino acid with a side chain."""
        centres = []
        for r in range(len(self.residues)):
            path, side = self.atoms((r, "N"), (r, "CA"), (r, "C")), self.atoms((r, "CA"), (r, "CB"))
            if path is not None and side is not None:
                centres.append((path[1], path[0], path[2], side[1]))
        return tuple(centres)


def harmonic_terms(
    system: Any,
) -> tuple[dict[tuple[int, int], tuple[float, float]], dict[tuple[int, int, int], tuple[float, float]]]:
    """Return equilibrium value and force constant of every harmonic bond [nm, kJ/mol/nm^2] and angle [rad, kJ/mol/rad^2]."""
    import openmm

    bonds: dict[tuple[int, int], tuple[float, float]] = {}
    angles: dict[tuple[int, int, int], tuple[float, float]] = {}
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            for n in range(force.getNumBonds()):
                i, j, r0, k = force.getBondParameters(n)
                _add(bonds, (min(i, j), max(i, j)), float(r0._value), float(k._value))
        elif isinstance(force, openmm.HarmonicAngleForce):
            for n in range(force.getNumAngles()):
                i, j, k, theta, stiffness = force.getAngleParameters(n)
                _add(angles, (min(i, k), j, max(i, k)), float(theta._value), float(stiffness._value))
    return bonds, angles


def _add(terms: dict[Any, tuple[float, float]], key: tuple[int, ...], centre: float, k: float) -> None:
    """Add a harmonic term; two of the same atoms are one, of the sum of their constants."""
    old_centre, old_k = terms.get(key, (centre, 0.0))
    total = old_k + k
    terms[key] = ((old_k * old_centre + k * centre) / total if total > 0 else centre, total)


def bonds_of(topology: Any, system: Any) -> tuple[tuple[int, int], ...]:
    """Return the bonds of a topology; of atoms that it leaves without any, those of the System's terms of two atoms.

    Terms between the ends of an angle that are no side of another (Urey-Bradley) are no bonds.
    """
    import openmm

    bonds = [(b[0].index, b[1].index) for b in topology.bonds()]
    bare = set(range(topology.getNumAtoms())).difference(*bonds)
    found: dict[tuple[int, int], None] = {}
    ends: set[tuple[int, int]] = set()
    sides: set[tuple[int, int]] = set()
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce | openmm.CustomBondForce):
            for n in range(force.getNumBonds()):
                i, j = force.getBondParameters(n)[:2]
                if not bare.isdisjoint((i, j)):
                    found[min(i, j), max(i, j)] = None
        elif isinstance(force, openmm.HarmonicAngleForce | openmm.CustomAngleForce):
            for n in range(force.getNumAngles()):
                i, j, k = force.getAngleParameters(n)[:3]
                ends.add((min(i, k), max(i, k)))
                sides |= {(min(i, j), max(i, j)), (min(j, k), max(j, k))}
    return (*bonds, *(pair for pair in found if pair in sides or pair not in ends))


def unbound_parts(structure: Structure, system: Any) -> list[str]:
    """Return the parts of a molecule that no bond and no term between few atoms holds together, by their first residue."""
    group = list(range(structure.n_atoms))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for i, j in structure.bonds:
        group[root(i)] = root(j)
    for force in system.getForces():  # restraints between parts, and whatever else ties a few atoms or their centres together
        for atoms in _tied(force):
            for i in atoms[1:]:
                group[root(i)] = root(atoms[0])
    first = dict.fromkeys(root(i) for i in range(structure.n_atoms))
    return [structure.residue_labels[structure.residue_of[i]] for i in first]


def _tied(force: Any) -> list[tuple[int, ...]]:
    """Return the atoms of the terms of forces that hold few atoms together."""
    import openmm

    if isinstance(force, openmm.HarmonicBondForce | openmm.CustomBondForce):
        return [tuple(force.getBondParameters(n)[:2]) for n in range(force.getNumBonds())]
    if isinstance(force, openmm.CustomCompoundBondForce):
        return [tuple(force.getBondParameters(n)[0]) for n in range(force.getNumBonds())]
    if isinstance(force, openmm.CustomCentroidBondForce):
        members = [force.getGroupParameters(g)[0] for g in range(force.getNumGroups())]
        return [tuple(i for g in force.getBondParameters(n)[0] for i in members[g]) for n in range(force.getNumBonds())]
    return []
