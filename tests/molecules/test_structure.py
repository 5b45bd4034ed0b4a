"""What the names of atoms say, against mdtraj's tables."""

import pickle

import mdtraj
import numpy as np
import pytest
from openmm import app, unit

from lit_bg.energies import Molecule
from lit_bg.molecules.structure import Structure

ALA2 = "experiments/alanine_dipeptide.pdb"
# Side chains of every length and branching, Gly and Ala without.
SIDE_CHAINS = "tests/molecules/data/side_chains.pdb"


def structure(path):
    pdb = app.PDBFile(path)
    atoms, residues = list(pdb.topology.atoms()), list(pdb.topology.residues())
    return Structure(
        positions=np.array(pdb.positions.value_in_unit(unit.nanometer)),
        names=tuple(a.name for a in atoms),
        elements=tuple(a.element.symbol for a in atoms),
        masses=tuple(a.element.mass._value for a in atoms),
        bonds=tuple((b[0].index, b[1].index) for b in pdb.topology.bonds()),
        residues=tuple(r.name for r in residues),
        residue_of=tuple(a.residue.index for a in atoms),
        residue_numbers=tuple(r.id for r in residues),
    )


@pytest.fixture(scope="module")
def all_residues():
    return structure(SIDE_CHAINS)


def test_chi_torsions_are_those_of_mdtraj(all_residues):
    topology = mdtraj.load(SIDE_CHAINS)
    mine = all_residues.chi_torsions
    for k, indices in enumerate(("chi1", "chi2", "chi3", "chi4", "chi5"), 1):
        theirs = getattr(mdtraj, f"compute_{indices}")(topology)[0].tolist()
        assert len(theirs) > 0
        assert [list(atoms) for name, atoms in mine.items() if name.startswith(f"chi{k} ")] == theirs
    assert mine.keys() >= {"chi1 VAL20", "chi2 ILE10", "chi5 ARG2", "chi4 LYS12", "chi1 SER16", "chi3 MET13"}
    assert not any("GLY" in name or "ALA" in name for name in mine)


def test_backbone_torsions_are_those_of_mdtraj(all_residues):
    topology = mdtraj.load(SIDE_CHAINS)
    for name in ("phi", "psi"):
        theirs = getattr(mdtraj, f"compute_{name}")(topology)[0].tolist()
        assert [list(q) for key, q in all_residues.backbone_torsions.items() if key.startswith(name)] == theirs


def test_a_single_side_chain_needs_no_number():
    serine = Structure(
        positions=np.zeros((5, 3)), names=("N", "CA", "CB", "OG", "C"), elements=("N", "C", "C", "O", "C"), masses=(1.0,) * 5,
        bonds=((0, 1), (1, 2), (2, 3), (1, 4)), residues=("SER",), residue_of=(0,) * 5,
    )  # fmt: skip
    assert serine.chi_torsions == {"chi1": (0, 1, 2, 3)}
    assert serine.end_to_end == (0, 4)
    assert serine.residue_labels == ("SER1",)


def test_labels_are_unique():
    two = {"positions": np.zeros((2, 3)), "names": ("CA", "CA"), "elements": ("C", "C"), "masses": (12.0, 12.0), "bonds": ()}
    chains = Structure(**two, residues=("VAL", "VAL"), residue_of=(0, 1), residue_numbers=("7", "7"))
    assert chains.residue_labels == ("VAL1", "VAL2")
    assert Structure(**two, residues=("VAL", "VAL"), residue_of=(0, 1), residue_numbers=("7", "9")).residue_labels == (
        "VAL7",
        "VAL9",
    )
    assert chains.end_to_end is None


@pytest.mark.parametrize(
    ("path", "ends"),
    [
        (ALA2, (("ACE1", "CH3"), ("NME3", "C"))),
        ("experiments/tri_alanine.pdb", (("ALA2", "CA"), ("ALA4", "CA"))),
        ("experiments/penta_alanine.pdb", (("ALA2", "CA"), ("ALA6", "CA"))),
        (SIDE_CHAINS, (("ALA1", "CA"), ("VAL20", "CA"))),
    ],
)
def test_the_ends_of_a_peptide(path, ends):
    read = structure(path)
    assert tuple((read.residue_labels[read.residue_of[i]], read.names[i]) for i in read.end_to_end) == ends


def test_alanine_has_no_chi_and_everything_can_be_pickled():
    read = structure(ALA2)
    assert read.chi_torsions == {}
    twin = pickle.loads(pickle.dumps(read))
    assert twin.backbone_torsions == read.backbone_torsions == {"phi": (4, 6, 8, 14), "psi": (6, 8, 14, 16)}


def test_torsions_of_a_ring_follow_its_bonds():
    """Cyclo-hexa-alanine: six of either, each of its own residue, and no end."""
    structure = Molecule("tests/molecules/data/cyclo6.pdb", forcefield=["amber14-all.xml"]).structure
    torsions = structure.backbone_torsions
    assert list(torsions) == [f"{name} {k}" for name in ("phi", "psi") for k in range(1, 7)]
    for name, (_, j, k, _) in torsions.items():
        assert structure.residue_of[j] == structure.residue_of[k] == int(name[-1]) - 1
    assert structure.residue_of[torsions["phi 1"][0]] == 5
    assert structure.residue_of[torsions["psi 6"][3]] == 0
    assert structure.end_to_end is None


def peptide(residues, peptide_bonds, extra=()):
    """Backbones of residues, joined by bonds C-N (from, to), and bonds of side chains, ((residue, atom), (residue, atom))."""
    side = sorted({place for bond in extra for place in bond if place[1] not in ("N", "CA", "C", "O")})
    atoms = [(r, name) for r in range(residues) for name in ("N", "CA", "C", "O", *(n for k, n in side if k == r))]
    bonds = [((r, a), (r, b)) for r in range(residues) for a, b in (("N", "CA"), ("CA", "C"), ("C", "O"))]
    bonds += [((r, "CA"), (r, name)) for r, name in side]
    bonds += [((a, "C"), (b, "N")) for a, b in peptide_bonds] + list(extra)
    place = {atom: i for i, atom in enumerate(atoms)}
    return Structure(
        positions=np.zeros((len(atoms), 3)),
        names=tuple(name for _, name in atoms),
        elements=tuple(name[0] for _, name in atoms),
        masses=(12.0,) * len(atoms),
        bonds=tuple((place[a], place[b]) for a, b in bonds),
        residues=("ALA",) * residues,
        residue_of=tuple(r for r, _ in atoms),
    )


def named(read):
    """Torsions as (residue, name), residues counted from 1."""
    return {t: [(read.residue_of[i] + 1, read.names[i]) for i in atoms] for t, atoms in read.backbone_torsions.items()}


@pytest.mark.parametrize(
    ("order", "torsions", "ends"),
    [
        ([(0, 1), (1, 2)], ["phi 2", "phi 3", "psi 1", "psi 2"], (1, 3)),
        ([(2, 1), (1, 0)], ["phi 1", "phi 2", "psi 2", "psi 3"], (3, 1)),  # the file lists the chain backwards
        ([(1, 0), (0, 2)], ["phi 1", "phi 3", "psi 1", "psi 2"], (2, 3)),
        ([(0, 1)], ["phi 2", "psi 1"], None),  # two chains: four ends
        ([(0, 1), (1, 2), (2, 0)], ["phi 1", "phi 2", "phi 3", "psi 1", "psi 2", "psi 3"], None),
        ([(0, 1), (1, 0)], ["phi 1", "phi 2", "psi 1", "psi 2"], (3, 3)),  # of the amino acid by itself
    ],
    ids=["chain", "backwards", "shuffled", "two chains", "ring", "ring and one"],
)
def test_torsions_and_ends_follow_bonds(order, torsions, ends):
    read = peptide(3, order)
    found = named(read)
    assert sorted(found) == torsions
    for name, atoms in found.items():
        residue = int(name.split()[1])
        assert atoms[1][0] == atoms[2][0] == residue  # phi k and psi k are of residue k
        other = atoms[0] if name.startswith("phi") else atoms[3]
        assert ((other[0] - 1, residue - 1) if name.startswith("phi") else (residue - 1, other[0] - 1)) in order
    names = ("N", "C") if ends == (3, 3) else ("CA", "CA")
    found_ends = read.end_to_end and tuple((read.residue_of[i] + 1, read.names[i]) for i in read.end_to_end)
    assert found_ends == (ends and tuple(zip(ends, names, strict=True)))


def test_an_isopeptide_bond_and_a_disulfide_leave_each_torsion_with_its_residue():
    """Residue 3 hangs with its C on the side chain of residue 1 (NZ of a lysine); 1 and 2 are bridged by sulfur."""
    read = peptide(3, [(0, 1)], [((2, "C"), (0, "NZ")), ((0, "SG"), (1, "SG"))])
    assert named(read) == {
        "phi 2": [(1, "C"), (2, "N"), (2, "CA"), (2, "C")],
        "psi 1": [(1, "N"), (1, "CA"), (1, "C"), (2, "N")],
        "psi 3": [(3, "N"), (3, "CA"), (3, "C"), (1, "NZ")],
    }
    read = peptide(2, [(0, 1)], [((1, "N"), (0, "CG"))])  # a second C on the N: the carbonyl of a backbone is the neighbour
    assert named(read)["phi 2"][0] == (1, "C")
    read = peptide(2, [], [((1, "N"), (0, "CG"))])  # closed through a side chain
    assert named(read) == {"phi 2": [(1, "CG"), (2, "N"), (2, "CA"), (2, "C")]}


def test_the_ends_of_a_capped_amino_acid_do_not_depend_on_the_order_of_residues():
    read = structure(ALA2)
    order = [i for r in (2, 1, 0) for i in range(read.n_atoms) if read.residue_of[i] == r]
    place = {i: k for k, i in enumerate(order)}
    turned = Structure(
        positions=read.positions[order],
        names=tuple(read.names[i] for i in order),
        elements=tuple(read.elements[i] for i in order),
        masses=tuple(read.masses[i] for i in order),
        bonds=tuple((place[i], place[j]) for i, j in read.bonds),
        residues=read.residues[::-1],
        residue_of=tuple(2 - read.residue_of[i] for i in order),
    )
    assert {order[i] for i in turned.end_to_end} == set(read.end_to_end)
    assert {t: tuple(order[i] for i in atoms) for t, atoms in turned.backbone_torsions.items()} == read.backbone_torsions
