"""Z-matrices from the bond graph alone: which atom is placed from which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from lit_bg.molecules.structure import Neighbours, Structure

SMALL_RING = 7  # atoms; a bond in a ring up to this size cannot turn
STRAIGHT = 170.0  # [degrees] from here on an angle of the topology file is a line


class Dihedral(Enum):
    """Says what a dihedral i-j-k-l measures, and whether it may turn."""

    TORSION = "turns about j-k freely"
    RING = "turns about j-k, which belongs to a small ring"
    IMPROPER = "parts two substituents of j"


@dataclass(frozen=True)
class ZMatrix:
    """Lists the atoms whose positions come first, and for every other atom the three atoms that it is placed from.

    A row (i, j, k, l) places i: bonded to j, its parent; k bonded to j, l to k or j, all placed before. The
    dihedral i-j-k-l is of one of three kinds:

    * the first atom placed around the bond j-k has l bonded to k: a proper torsion, which may turn
      (TORSION), unless j-k is a bond of a ring of at most seven atoms, which holds it (RING: some 10 degrees
      on an aromatic ring, the pucker on proline);
    * the others have l = that first atom, or an atom of the start that is bonded to j: the angle between
      two substituents of j seen along j-k (IMPROPER). It is narrow: 120 degrees apart on a tetrahedral
      centre, 180 on a planar one. Its sign is the chirality at j, and the label of each of several
      equivalent hydrogens.

    The rows make a spanning forest of the bond graph. A bond that closes a ring, a disulfide bridge
    included, is no coordinate: its length follows from the others.

    Without anchors, `start` is (b, a, c): the root, in the middle of the molecule, so that the tree is
    shallow (all atoms of one depth are placed at once, and errors have a short way to grow), and two of
    its neighbours. Among branches the backbone comes first, then heavy atoms with the largest branch, so that
    phi and psi are coordinates (where no bridge or ring is a shorter way), and side chains have their chi.
    """

    start: tuple[int, ...]
    rows: tuple[tuple[int, int, int, int], ...]  # (i, j, k, l), parents before children
    kinds: tuple[Dihedral, ...]  # per row
    depth: tuple[int, ...]  # step at which the atom is placed, per row, never falling

    @classmethod
    def of(cls, structure: Structure, anchors: Sequence[int] | None = None) -> ZMatrix:
        """Find the Z-matrix of a molecule.

        Args:
            structure: atoms and bonds; of the positions only angles near 180 degrees matter.
            anchors: atoms that are there from the start; those with other atoms on them in bonded groups of
                at least three, and at least one such group in every molecule. None: one molecule, from its
                middle outwards.

        Raises:
            ValueError: fewer than three atoms, several molecules (without anchors), atoms that hang on no
                anchor, anchors in smaller groups, or a dihedral about three atoms on a line.
        """
        n = structure.n_atoms
        if n < 3:
            raise ValueError(f"internal coordinates need at least three atoms, got {n}.")
        neighbours = structure.neighbours
        heavy = [e not in ("H", "D") for e in structure.elements]
        if anchors is None:
            _refuse_several(structure, neighbours)
        roots = [_centre(neighbours, heavy)] if anchors is None else list(anchors)
        parent, order = _breadth_first(neighbours, roots)
        if len(order) < n:
            lost = _name(structure, min(set(range(n)) - set(order)))
            raise ValueError(
                f"{n - len(order)} atoms are bonded to no anchor, directly or through others ({lost} is the first): "
                "every molecule needs three anchors that are bonded, or CONECT records if bonds are missing."
            )
        children = _branches(structure, heavy, parent, order)
        start = tuple(roots) if anchors is not None else (roots[0], *children[roots[0]][:2])

        rows: list[tuple[int, int, int, int]] = []
        kinds: list[Dihedral] = []
        depth: list[int] = []
        corners = [(start[1], start[0], start[2])] if anchors is None else []
        rings = _bonds_of_small_rings(neighbours)
        first, level, step = set(start), roots, 0
        while level:
            for j in level:
                new = [i for i in children[j] if i not in first]
                if not new:
                    continue
                k, l, fixed = _references(structure, j, start, neighbours, parent)  # noqa: E741
                kind = Dihedral.IMPROPER if fixed else Dihedral.RING if frozenset((j, k)) in rings else Dihedral.TORSION
                for i in new:
                    sibling = i != new[0] and not fixed
                    rows.append((i, j, k, new[0] if sibling else l))
                    kinds.append(Dihedral.IMPROPER if sibling else kind)
                    depth.append(step)
                    corners.append((i, j, k))
                corners.append((k, j, l) if fixed else (j, k, l))
            level = [i for j in level for i in children[j]]  # the atoms of one depth; their children are placed next
            step += 1
        if corners:
            _refuse_straight(structure, corners)
        return cls(start, tuple(rows), tuple(kinds), tuple(depth))


def _references(
    structure: Structure, j: int, start: tuple[int, ...], neighbours: Neighbours, parent: list[int]
) -> tuple[int, int, bool]:
    """Return k and l for the atoms placed on j; True if l is bonded to j, so that there is nothing to turn about j-k."""
    beside = [m for m in start if m in neighbours[j]] if j in start else [parent[j]]
    if len(beside) > 1:
        return beside[0], beside[1], True
    if beside:
        k = beside[0]
        beyond = [m for m in start if m != j and m in neighbours[k]] if k in start else [parent[k]]
        if beyond:
            return k, beyond[0], False
    raise ValueError(
        f"{_name(structure, j)} is an anchor in a group of {1 + len(beside)} that other atoms hang on: "
        "the group needs at least three bonded anchors, so add its neighbours to the anchors."
    )


def _branches(structure: Structure, heavy: list[bool], parent: list[int], order: list[int]) -> list[list[int]]:
    """Return the children of every atom: backbone first, then heavy atoms with the largest branch."""
    size = [1] * len(parent)
    for i in reversed(order):
        if parent[i] >= 0:
            size[parent[i]] += size[i]
    backbone = {i for torsion in structure.backbone_torsions.values() for i in torsion}
    children: list[list[int]] = [[] for _ in parent]
    for i in order:
        if parent[i] >= 0:
            children[parent[i]].append(i)
    for branches in children:
        branches.sort(key=lambda i: (i not in backbone, not heavy[i], -size[i], i))
    return children


def _breadth_first(neighbours: Neighbours, roots: list[int]) -> tuple[list[int], list[int]]:
    """Return parents (-1: none) and the order of visit."""
    parent = [-1] * len(neighbours)
    order, seen = list(roots), set(roots)
    for j in order:
        for i in neighbours[j]:
            if i not in seen:
                seen.add(i)
                parent[i] = j
                order.append(i)
    return parent, order


def _centre(neighbours: Neighbours, heavy: list[bool]) -> int:
    """Return the heavy atom from which the farthest atom is nearest; among those the one with most bonds."""
    pairs = np.array([(i, j) for i, around in enumerate(neighbours) for j in around])
    n = len(neighbours)
    graph = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    eccentricity = shortest_path(graph, unweighted=True).max(1)
    branching = [i for i, n in enumerate(neighbours) if len(n) > 1]  # in a connected graph of three atoms there is one
    return min(branching, key=lambda i: (not heavy[i], eccentricity[i], -len(neighbours[i]), i))


def _bonds_of_small_rings(neighbours: Neighbours) -> set[frozenset[int]]:
    """Return the bonds whose ends are also joined by at most SMALL_RING - 1 other bonds."""
    found = set()
    for i, around in enumerate(neighbours):
        for j in (j for j in around if j > i):
            reached, edge = {i}, {i}
            for _ in range(SMALL_RING - 1):
                edge = {m for a in edge for m in neighbours[a] if {a, m} != {i, j}} - reached
                reached |= edge
            if j in reached:
                found.add(frozenset((i, j)))
    return found


def _refuse_several(structure: Structure, neighbours: Neighbours) -> None:
    left, parts = set(range(len(neighbours))), []
    while left:
        parts.append(_breadth_first(neighbours, [min(left)])[1])
        left -= set(parts[-1])
    if len(parts) > 1:
        parts.sort(key=len, reverse=True)
        sizes = ", ".join(str(len(p)) for p in parts[:6]) + (", ..." if len(parts) > 6 else "")
        raise ValueError(
            f"internal coordinates describe one bonded molecule, the topology has {len(parts)} parts of {sizes} "
            f"atoms ({_name(structure, parts[-1][0])} is in the last): add CONECT records if bonds are missing, give "
            "each molecule anchors (MixedCoordinates), or use a generator for particles."
        )


def _refuse_straight(structure: Structure, corners: list[tuple[int, int, int]]) -> None:
    i, j, k = structure.positions[np.array(corners)].transpose(1, 0, 2)
    u, v = i - j, k - j
    degrees = np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), (u * v).sum(-1)))
    for atoms, value in zip(corners, degrees, strict=True):
        if not 180 - STRAIGHT < value < STRAIGHT:
            names = "-".join(structure.names[i] for i in atoms)
            raise ValueError(
                f"the angle {names} at {_name(structure, atoms[1])} is {value:.0f} degrees, and about a line there is no "
                "dihedral: make the atoms of this linear group anchors of MixedCoordinates, or use a generator for particles."
            )


def _name(structure: Structure, i: int) -> str:
    r = structure.residue_of[i]
    return f"atom {structure.names[i]} of residue {structure.residues[r]} {r + 1}"
