"""Which atoms have a hand: against every exchange of labels of small graphs, and against what chemists know."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from lit_bg.molecules import Structure
from lit_bg.molecules.chirality import Chirality, describe_hands
from lit_bg.molecules.isomers import BondedComponent

MIRROR = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)


def molecule(elements, bonds, positions=None):
    """Atoms called by element and number, anywhere in space: a graph says which centres there are."""
    n = len(elements)
    if positions is None:
        positions = 0.15 * np.random.default_rng(0).normal(size=(n, 3))
    return Structure(
        positions=np.asarray(positions, dtype=np.float64),
        names=tuple(f"{e}{i}" for i, e in enumerate(elements)),
        elements=tuple(elements),
        masses=tuple({"H": 1.0, "C": 12.0, "O": 16.0}.get(e, 30.0) for e in elements),
        bonds=tuple(bonds),
        residues=("MOL",),
        residue_of=(0,) * n,
    )


def grown(text):
    """A molecule from "C0 C1:0 O2:1": every atom with the earlier ones that it is bonded to."""
    elements, bonds = [], []
    for k, atom in enumerate(text.split()):
        name, _, before = atom.partition(":")
        elements.append(name.rstrip("0123456789"))
        bonds += [(int(i), k) for i in before.split(",") if i]
    return molecule(elements, bonds)


def centres(structure):
    return [structure.names[i] for i in Chirality(structure).centres]


def exchanges(structure):
    """Every permutation of the atoms that keeps elements and bonds."""
    bonded = {frozenset(b) for b in structure.bonds}
    for p in itertools.permutations(range(structure.n_atoms)):
        if all(structure.elements[i] == structure.elements[j] for i, j in enumerate(p)) and bonded == {
            frozenset(p[i] for i in b) for b in bonded
        }:
            yield p


def carried(structure, hands, p):
    """The hands of the molecule after an exchange of labels: the sign counts inversions in the order of the neighbours."""
    found = {}
    for i, hand in hands.items():
        order = [structure.neighbours[p[i]].index(p[j]) for j in structure.neighbours[i]]
        found[p[i]] = hand * (-1) ** sum(a > b for a, b in itertools.combinations(order, 2))
    return found


def random_graphs():
    rng = np.random.default_rng(1)
    for _ in range(100):
        n = int(rng.integers(5, 8))
        bonds = {(int(rng.integers(0, i)), i) for i in range(1, n)}
        bonds |= {tuple(sorted(int(k) for k in rng.choice(n, 2, replace=False))) for _ in range(int(rng.integers(0, 7)))}
        yield molecule([("C", "C", "C", "O")[int(rng.integers(0, 4))] for _ in range(n)], sorted(bonds)), rng


def test_centres_are_those_that_no_exchange_of_labels_undoes():
    seen = {True: 0, False: 0}
    for structure, rng in random_graphs():
        component = BondedComponent(structure, range(structure.n_atoms))
        hands = {i: int(rng.choice([-1, 1])) for i, near in enumerate(structure.neighbours) if len(near) in (3, 4)}
        orbit = [carried(structure, hands, p) for p in exchanges(structure)]
        expected = [i for i in sorted(hands) if {**hands, i: -hands[i]} not in orbit]
        assert component.find_stereogenic(hands) == expected, structure
        assert component.is_achiral(hands) == ({i: -h for i, h in hands.items()} in orbit)
        for i in hands:
            seen[i in expected] += 1
    assert min(seen.values()) > 20  # of either kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # CHFClBr; and with two hydrogens
        ("C H:0 F:0 Cl:0 Br:0", ["C0"]),
        ("C H:0 H:0 Cl:0 Br:0", []),
        # deoxyribose with a base and hydroxyls: C1' (ring O, base, H, CH2), C3', C4'
        (
            "O C:0 C:1 C:2 C:0,3 N:1 O:3 C:4 O:7 H:1 H:2 H:2 H:3 H:4 H:7 H:7 H:6 H:8 H:5 H:5",
            ["C1", "C3", "C4"],
        ),
        # beta-glucose: five carbons of the ring, not CH2OH
        (
            "O C:0 C:1 C:2 C:3 C:0,4 C:5 O:1 O:2 O:3 O:4 O:6 H:1 H:2 H:3 H:4 H:5 H:6 H:6 H:7 H:8 H:9 H:10 H:11",
            ["C1", "C2", "C3", "C4", "C5"],
        ),
        # phosphodiester with two equal oxygens, and a thiophosphate in its place
        ("P O:0 O:0 O:0 O:0 C:3 C:4 H:5 H:5 H:5 H:6 H:6 C:6 H:12 H:12 H:12", []),
        ("P O:0 S:0 O:0 O:0 C:3 C:4 H:5 H:5 H:5 H:6 H:6 C:6 H:12 H:12 H:12", ["P0"]),
        # sulfoxide of methyl and ethyl, of two methyls, and an amine, which turns inside out
        ("S O:0 C:0 C:0 H:2 H:2 H:2 H:3 H:3 C:3 H:9 H:9 H:9", ["S0"]),
        ("S O:0 C:0 C:0 H:2 H:2 H:2 H:3 H:3 H:3", []),
        ("N H:0 C:0 C:0 H:2 H:2 H:2 H:3 H:3 C:3 H:9 H:9 H:9", []),
        # methylcyclobutane, and with a second methyl across: cis or trans
        ("C C:0 C:1 C:0,2 C:0 H:0 H:1 H:1 H:2 H:2 H:3 H:3 H:4 H:4 H:4", []),
        ("C C:0 C:1 C:0,2 C:0 H:0 H:1 H:1 C:2 H:2 H:3 H:3 H:4 H:4 H:4 H:8 H:8 H:8", ["C0", "C2"]),
        # a bead in the middle of four different ones
        ("X H:0 F:0 Cl:0 Br:0", []),
    ],
    ids=[
        "halogens", "two hydrogens", "deoxyribose", "glucose", "phosphodiester", "thiophosphate", "sulfoxide",
        "dimethyl sulfoxide", "amine", "methylcyclobutane", "dimethylcyclobutane", "bead",
    ],
)  # fmt: skip
def test_centres_that_chemists_know(text, expected):
    assert centres(grown(text)) == expected


TRIANGLES = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
ONE_RING = [(0, 3), (3, 1), (1, 4), (4, 2), (2, 5), (5, 0)]


@pytest.mark.parametrize(
    ("closed", "expected"), [((TRIANGLES, ONE_RING), [0]), ((TRIANGLES, TRIANGLES), []), ((ONE_RING, ONE_RING), [])]
)
def test_branches_differ_by_how_their_rings_close(closed, expected):
    """Six atoms on three and three, closed as two triangles or as one ring: every atom has the same neighbours in both."""
    elements, bonds = ["C", "H", "F"], [(0, 1), (0, 2)]
    for pairs in closed:
        k = len(elements)  # the branch, two atoms on it, and six on those
        elements += ["C"] * 9 + ["H"] * 7
        bonds += [(0, k), (k, k + 1), (k, k + 2), (k, k + 9)]
        bonds += [(k + 1 + m // 3, k + 3 + m) for m in range(6)] + [(k + 3 + m, k + 10 + m) for m in range(6)]
        bonds += [(k + 3 + i, k + 3 + j) for i, j in pairs]
    structure = molecule(elements, bonds)
    assert BondedComponent(structure, range(len(elements))).find_stereogenic({0: 1}) == expected


def ring(up):
    """Inositol: six carbons in a plane with a hydroxyl (its oxygen only) above or below and a hydrogen on the other side."""
    angle = np.arange(6) * np.pi / 3
    flat = np.stack([np.cos(angle), np.sin(angle), np.zeros(6)], -1)
    side = np.array([0, 0, 1.0]) * np.array(up)[:, None]
    positions = np.concatenate([0.145 * flat, 0.2 * flat + 0.12 * side, 0.18 * flat - 0.09 * side])
    bonds = [(k, (k + 1) % 6) for k in range(6)] + [(k, k + 6) for k in range(6)] + [(k, k + 12) for k in range(6)]
    return molecule(["C"] * 6 + ["O"] * 6 + ["H"] * 6, bonds, positions)


@pytest.mark.parametrize(
    ("up", "chiral"),
    [((1, 1, 1, 1, 1, 1), False), ((1, 1, 1, -1, 1, -1), False), ((1, 1, -1, 1, -1, -1), True), ((1, -1, 1, -1, 1, -1), False)],
    ids=["cis", "myo", "chiro", "scyllo"],
)
def test_equal_centres_of_a_ring(up, chiral):
    """All six carbons of an inositol are alike in the bond graph; only chiro-inositol has a mirror image of its own."""
    structure = ring(up)
    chirality = Chirality(structure)
    assert chirality.centres == tuple(range(6))
    x = torch.from_numpy(structure.positions)[None]
    assert not chirality.is_mirrored(x).any()
    assert chirality.is_mirrored(x * MIRROR).item() == chiral
    turned_over = x.clone()
    turned_over[:, [6, 12]] = x[:, [12, 6]]
    assert chirality.find_wrong(turned_over).tolist() == [[True] + [False] * 5]


def tartaric(second):
    """(C, O, H) on each of two carbons: of the same hand, or (-1) of opposite hands."""
    inner = np.array([[0.0, 0, 0], [0.15, 0, 0]])
    around = np.array([[-0.05, 0.14, 0], [-0.05, -0.07, 0.12], [-0.05, -0.07, -0.12]])
    other = np.array([0.15, 0, 0]) + around * [-1, 1, -second]  # half a turn about y keeps the hand, a reflection does not
    positions = np.concatenate([inner, around, other])
    bonds = [(0, 1), *((0, k) for k in (2, 3, 4)), *((1, k) for k in (5, 6, 7))]
    return molecule(["C", "C", "C", "O", "H", "C", "O", "H"], bonds, positions)


def test_a_meso_compound_is_its_own_mirror_image_and_one_wrong_centre_is_not():
    for second, chiral in ((1, True), (-1, False)):
        structure = tartaric(second)
        chirality = Chirality(structure)
        x = torch.from_numpy(structure.positions)[None]
        assert chirality.centres == (0, 1)
        assert chirality.is_mirrored(x * MIRROR).item() == chiral
        one = x.clone()
        one[:, [3, 4]] = x[:, [4, 3]]
        assert chirality.find_wrong(one).tolist() == [[True, False]]


def test_equal_branches_of_opposite_hands_make_a_centre():
    """C3 of trihydroxyglutaric acid: pseudoasymmetric in the two meso forms, no centre where C2 and C4 have one hand."""
    text = "C C:0 C:1 C:2 C:3 O:1 H:1 O:2 H:2 O:3 H:3 O:0 O:4"
    structure = grown(text)
    component = BondedComponent(structure, range(structure.n_atoms))
    assert structure.neighbours[1] == (0, 2, 5, 6)
    assert structure.neighbours[3] == (2, 4, 9, 10)  # towards the middle and outwards have changed places
    assert component.find_stereogenic({1: 1, 2: 1, 3: -1}) == [1, 3]
    assert component.find_stereogenic({1: 1, 2: 1, 3: 1}) == [1, 2, 3]


def test_centres_of_one_name_are_told_apart_and_their_hand_is_said():
    structure = tartaric(1)
    same = replace(structure, names=("C",) * 8)
    assert Chirality(same).names == ("C of MOL1 (atom 1)", "C of MOL1 (atom 2)")
    hands = describe_hands(structure)
    mirrored = describe_hands(replace(structure, positions=-structure.positions))
    assert list(hands) == ["C0 of MOL1", "C1 of MOL1"]
    swap = {"clockwise": "anticlockwise", "anticlockwise": "clockwise"}
    assert mirrored == {k: " ".join(swap.get(w, w) for w in v.split()) for k, v in hands.items()}


def test_the_hand_as_it_is_seen():
    """Looking down on the paper from the hydrogen, east, north, south-west go round against the clock."""
    above = molecule(
        "CHFCB", [(0, k) for k in range(1, 5)], [[0, 0, 0], [0, 0, 0.1], [0.1, 0, -0.05], [0, 0.1, -0.05], [-0.1, -0.1, -0.05]]
    )
    assert describe_hands(above) == {"C0 of MOL1": "F2, C3, B4 anticlockwise from H1"}
    sulfoxide = molecule(
        "SOCF", [(0, k) for k in range(1, 4)], [[0, 0, 0], [0.1, 0, -0.05], [0, 0.1, -0.05], [-0.1, -0.1, -0.05]]
    )
    assert describe_hands(sulfoxide) == {"S0 of MOL1": "O1, C2, F3 anticlockwise from its lone pair"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hands_in_either_precision_and_on_another_device(dtype):
    chirality = Chirality(tartaric(-1))
    x = torch.from_numpy(tartaric(-1).positions)[None].to(dtype) + 0.001 * torch.randn(
        50, 8, 3, generator=torch.Generator().manual_seed(0), dtype=dtype
    )
    assert not chirality.is_mirrored(x).any()
    assert chirality.is_mirrored(x[:, [0, 1, 2, 4, 3, 5, 6, 7]] + 10).all()  # far from the origin, O and H exchanged
    assert chirality.find_wrong(x.to("meta")).shape == (50, 2)
    assert chirality.find_wrong(x.to("meta")).device.type == "meta"
    assert chirality.find_wrong(x[:0]).shape == (0, 2)
