"""Which atom is placed from which."""

import functools
import math
from collections import Counter

import numpy as np
import pytest

from lit_bg.energies import Molecule
from lit_bg.molecules import Structure, ZMatrix
from lit_bg.molecules.zmatrix import Dihedral

FILES = [
    *(f"experiments/{name}.pdb" for name in ("alanine_dipeptide", "tri_alanine", "penta_alanine")),
    *(f"tests/data/{name}.pdb" for name in ("PP", "YF", "CC", "V", "bpti")),
]
TORSION, RING, IMPROPER = Dihedral.TORSION, Dihedral.RING, Dihedral.IMPROPER


@functools.cache
def structure(path):
    return Molecule(path, forcefield=["amber99sbildn.xml", "amber99_obc.xml"]).structure


def graph(bonds, positions=None, elements=None):
    n = 1 + max(max(b) for b in bonds)
    x = np.random.default_rng(0).normal(size=(n, 3)) if positions is None else np.asarray(positions, dtype=float)
    return Structure(
        positions=x, names=tuple(f"A{i}" for i in range(n)), elements=tuple(elements or "C" * n), masses=(12.0,) * n,
        bonds=tuple(bonds), residues=("TOY",), residue_of=(0,) * n,
    )  # fmt: skip


def ring(n):
    """A ring with one substituent on every atom."""
    return [(i, (i + 1) % n) for i in range(n)] + [(i, n + i) for i in range(n)]


def backbone(s):
    return [
        i for i, name in enumerate(s.names) if name in ("N", "CA", "C") and s.residues[s.residue_of[i]] not in ("ACE", "NME")
    ]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("anchored", [False, True])
def test_every_atom_is_placed_once_from_bonded_atoms_placed_before(path, anchored):
    s = structure(path)
    z = ZMatrix.of(s, backbone(s)) if anchored else ZMatrix.of(s)
    bonds = {frozenset(b) for b in s.bonds}
    placed = set(z.start)
    assert list(z.depth) == sorted(z.depth)
    for depth in sorted(set(z.depth)):
        rows = [(row, kind) for row, kind, d in zip(z.rows, z.kinds, z.depth, strict=True) if d == depth]
        level = {row[0] for row, _ in rows}
        assert len(level) == len(rows)
        assert not level & placed
        for (i, j, k, l), kind in rows:  # noqa: E741
            assert len({i, j, k, l}) == 4
            assert {j, k} <= placed
            assert {frozenset((i, j)), frozenset((j, k)), frozenset((j if kind is IMPROPER else k, l))} <= bonds
            # a torsion is measured against what was there before, an improper also against a sibling
            assert l in placed or (kind is IMPROPER and l in level)
        placed |= level
    assert placed == set(range(s.n_atoms))
    # exactly one dihedral around a bond says how it is turned
    turned = Counter(row[1:3] for row, kind in zip(z.rows, z.kinds, strict=True) if kind is not IMPROPER)
    assert set(turned.values()) <= {1}


def test_the_tree_is_shallow():
    assert max(ZMatrix.of(structure("experiments/penta_alanine.pdb")).depth) <= 10
    assert max(ZMatrix.of(structure("tests/data/bpti.pdb")).depth) <= 50


def test_torsions_of_the_backbone_are_coordinates():
    for path in FILES[1:-3]:
        s = structure(path)
        z = ZMatrix.of(s)
        kinds = {frozenset(row): kind for row, kind in zip(z.rows, z.kinds, strict=True)}
        for torsion, atoms in s.backbone_torsions.items():
            held = s.residues[s.residue_of[atoms[1]]] == "PRO" and torsion.startswith("phi")  # N-CA is in the ring
            assert kinds[frozenset(atoms)] is (RING if held else TORSION), torsion


@pytest.mark.parametrize(
    ("path", "torsions", "rings"),
    [
        ("experiments/tri_alanine.pdb", 15, 0),  # 3 phi, 3 psi, 4 omega, 5 methyl groups
        ("tests/data/PP.pdb", 7, 8),  # 2 psi, 3 omega, 2 methyl groups; 4 bonds of each ring, CB-CG or CG-CD closes it
        ("tests/data/YF.pdb", 14, 10),  # 2 phi, 2 psi, 3 omega, 2 methyl, 2 x 2 chi, OH; 5 bonds of each aromatic ring
        ("tests/data/CC.pdb", 17, 0),  # a bridge is no ring: 2 x (phi, psi, 2 omega, 2 methyl, CA-CB, CB-SG), SG-SG
        ("tests/data/V.pdb", 9, 0),
    ],
)
def test_rings_hold_and_the_rest_turns(path, torsions, rings):
    kinds = ZMatrix.of(structure(path)).kinds
    assert (kinds.count(TORSION), kinds.count(RING)) == (torsions, rings)


@pytest.mark.parametrize(("n", "kind"), [(4, RING), (5, RING), (6, RING), (7, RING), (8, TORSION), (12, TORSION)])
def test_a_small_ring_holds_a_large_one_turns(n, kind):
    kinds = ZMatrix.of(graph(ring(n))).kinds
    assert set(kinds) - {IMPROPER} == {kind}
    assert len(kinds) == 2 * n - 3


def test_side_chains_hang_on_anchors_by_narrow_dihedrals():
    s = structure("tests/data/V.pdb")
    z = ZMatrix.of(s, backbone(s))
    kind = {s.names[row[0]]: k for row, k in zip(z.rows, z.kinds, strict=True) if s.residues[s.residue_of[row[0]]] == "VAL"}
    assert [kind[name] for name in ("CB", "HA", "O", "H", "CG1", "CG2", "HB")] == [
        IMPROPER,
        IMPROPER,
        IMPROPER,
        IMPROPER,
        TORSION,
    ] + [IMPROPER] * 2
    assert z.start == tuple(backbone(s))


@pytest.mark.parametrize(
    ("bonds", "anchors", "message"),
    [
        ([(0, 1)], None, "at least three atoms, got 2"),
        ([(0, 1), (2, 3), (3, 4)], None, r"2 parts of 3, 2 atoms \(atom A0 of residue TOY 1"),
        ([(0, 1), (1, 2), (3, 4)], [0, 1, 2], r"2 atoms are bonded to no anchor.*\(atom A3"),
        ([(0, 1), (1, 2), (2, 3), (3, 4)], [1, 2], "atom A1 of residue TOY 1 is an anchor in a group of 2"),
        ([(0, 1), (1, 2), (2, 3), (3, 4)], [4, 0, 1], "atom A4 of residue TOY 1 is an anchor in a group of 1"),
    ],
)
def test_what_has_no_zmatrix_is_refused(bonds, anchors, message):
    with pytest.raises(ValueError, match=message):
        ZMatrix.of(graph(bonds), anchors)


def test_several_molecules_are_placed_from_anchors_of_their_own():
    z = ZMatrix.of(graph([(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7)]), [0, 1, 2, 5, 6, 7])
    assert z.rows == ((3, 2, 1, 0), (4, 5, 6, 7))


def test_three_atoms_on_a_line_are_refused_unless_they_are_anchors():
    """Propionitrile without its hydrogens: C-C-C#N."""
    bent = math.radians(70)
    x = [[-math.cos(bent), math.sin(bent), 0], [0, 0, 0], [1, 0, 0], [2, 0.001, 0]]
    nitrile = graph([(0, 1), (1, 2), (2, 3)], x, "CCCN")
    with pytest.raises(ValueError, match=r"the angle A3-A2-A1 at atom A2 of residue TOY 1 is 180 degrees.*anchors"):
        ZMatrix.of(nitrile)
    assert ZMatrix.of(nitrile, [0, 1, 2, 3]).rows == ()
    with pytest.raises(ValueError, match="is 180 degrees"):  # carbon dioxide
        ZMatrix.of(graph([(0, 1), (0, 2)], [[0, 0, 0], [1, 0, 0], [-1, 0, 0]]))
