"""Which atom is placed from which: a Z-matrix from the bond graph alone."""

from __future__ import annotations

from dataclasses import dataclass

from lit_bg.molecules.structure import Structure


@dataclass(frozen=True)
class ZMatrix:
    """A spanning tree of the bond graph, and for each atom the three atoms that it is placed from.

    The root lies in the middle of the molecule, so that the tree is shallow: all atoms of one depth are
    placed at once, and errors have a short way to grow. `frame` is (b, a, c): the root, which is the
    origin, and two of its neighbours, which fix the axes; b-a, b-c and the angle c-b-a are coordinates
    like the others.

    Any further atom i has the row (i, j, k, l): bonded to j, the parent of i; k the parent of j (or its
    neighbour in the frame). The dihedral i-j-k-l is one of two kinds:

    * the first atom placed around the bond j-k has l bonded to k: a proper torsion, which may turn;
    * the others have l = that first atom: the angle between two substituents of j seen along j-k
      ("improper"). It is narrow: 120 degrees apart on a tetrahedral centre, 180 on a planar one. Its
      sign is the chirality at j, and the label of each of several equivalent hydrogens.

    Heavy atoms with the largest branch come first, so torsions follow the backbone.
    """

    frame: tuple[int, int, int]
    rows: tuple[tuple[int, int, int, int], ...]  # (i, j, k, l), parents before children
    proper: tuple[bool, ...]  # kind of the dihedral, per row
    depth: tuple[int, ...]  # step at which the atom is placed, per row

    @classmethod
    def of(cls, structure: Structure) -> ZMatrix:
        """The Z-matrix of a molecule; bonds that close a ring are not used.

        Raises:
            ValueError: fewer than three atoms, or several molecules.
        """
        n = structure.n_atoms
        if n < 3:
            raise ValueError(f"internal coordinates need at least three atoms, got {n}.")
        neighbours: list[list[int]] = [[] for _ in range(n)]
        for i, j in structure.bonds:
            neighbours[i].append(j)
            neighbours[j].append(i)
        parts = _components(neighbours)
        if len(parts) > 1:
            sizes = ", ".join(str(len(p)) for p in parts[:6]) + (", ..." if len(parts) > 6 else "")
            alone = parts[-1][0]
            residue = structure.residues[structure.residue_of[alone]]
            raise ValueError(
                f"internal coordinates describe one bonded molecule, the topology has {len(parts)} parts of {sizes} "
                f"atoms (atom {structure.names[alone]} of residue {residue} is in the last): "
                "add CONECT records if bonds are missing, or use a generator for particles."
            )
        heavy = [e != "H" for e in structure.elements]
        root = _centre(neighbours, heavy)
        parent, order = _breadth_first(neighbours, root)
        size = [1] * n
        for i in reversed(order):
            if parent[i] >= 0:
                size[parent[i]] += size[i]
        children: list[list[int]] = [[] for _ in range(n)]
        for i in order[1:]:
            children[parent[i]].append(i)
        for branches in children:
            branches.sort(key=lambda i: (not heavy[i], -size[i], i))

        a, c, *others = children[root]
        rows = [(i, root, a, c) for i in others]
        proper, depth = [False] * len(others), [0] * len(others)
        level = [a, c, *others]  # the atoms of one depth; their children are placed next
        step = 1 if others else 0
        while level:
            for j in level:
                k = parent[j]
                # the atom on the far side of j-k that the torsion is measured against
                far = parent[k] if k != root else (a if j != a else c)
                for i in children[j]:
                    first = children[j][0]
                    rows.append((i, j, k, far if i == first else first))
                    proper.append(i == first)
                    depth.append(step)
            level = [i for j in level for i in children[j]]
            step += 1
        return cls((root, a, c), tuple(rows), tuple(proper), tuple(depth))


def _components(neighbours: list[list[int]]) -> list[list[int]]:
    """Connected parts, largest first."""
    left = set(range(len(neighbours)))
    parts = []
    while left:
        _, part = _breadth_first(neighbours, min(left))
        parts.append(part)
        left -= set(part)
    return sorted(parts, key=len, reverse=True)


def _breadth_first(neighbours: list[list[int]], start: int) -> tuple[list[int], list[int]]:
    """Parents (-1: none) and the order of visit."""
    parent = [-1] * len(neighbours)
    order, seen = [start], {start}
    for j in order:
        for i in neighbours[j]:
            if i not in seen:
                seen.add(i)
                parent[i] = j
                order.append(i)
    return parent, order


def _centre(neighbours: list[list[int]], heavy: list[bool]) -> int:
    """The heavy atom from which the farthest atom is nearest; among those the one with most bonds."""

    def eccentricity(start: int) -> int:
        parent, order = _breadth_first(neighbours, start)
        steps, i = 0, order[-1]
        while i != start:
            steps, i = steps + 1, parent[i]
        return steps

    branching = [i for i, n in enumerate(neighbours) if len(n) > 1]  # in a connected graph of three atoms there is one
    return min(branching, key=lambda i: (not heavy[i], eccentricity(i), -len(neighbours[i]), i))
