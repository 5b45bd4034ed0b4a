"""Stereocentres from the bond graph, and which configurations are mirror images."""

import functools
from dataclasses import replace

import pytest
import torch

from lit_bg.energies import Molecule
from lit_bg.molecules import Structure
from lit_bg.molecules.chirality import is_mirrored, stereocentres
from lit_bg.transforms import InternalCoordinates


@functools.cache
def molecule(path):
    return Molecule(path, forcefield=["amber99sbildn.xml", "amber99_obc.xml"])


def centres(structure):
    """Residue and name of the atom in the middle of each."""
    bonds = {frozenset(b) for b in structure.bonds}
    found = []
    for four in stereocentres(structure):
        (middle,) = (i for i in range(structure.n_atoms) if all(frozenset((i, j)) in bonds for j in four))
        found.append((structure.residues[structure.residue_of[middle]], structure.names[middle]))
    return found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("experiments/tri_alanine.pdb", [("ALA", "CA")] * 3),
        ("tests/data/PP.pdb", [("PRO", "CA")] * 2),
        ("tests/data/V.pdb", [("VAL", "CA")]),
        ("tests/data/T.pdb", [("THR", "CA"), ("THR", "CB")]),
    ],
)
def test_stereocentres_of_peptides(path, expected):
    assert centres(molecule(path).structure) == expected


def test_stereocentres_of_a_protein():
    structure = molecule("tests/data/bpti.pdb").structure
    found = centres(structure)
    count = {r: structure.residues.count(r) for r in ("GLY", "ILE", "THR")}
    assert len(found) == len(structure.residues) - count["GLY"] + count["ILE"] + count["THR"]
    assert {c for c in found if c[1] != "CA"} == {("ILE", "CB"), ("THR", "CB")}


@pytest.mark.parametrize("path", ["experiments/tri_alanine.pdb", *(f"tests/data/{name}.pdb" for name in ("PP", "T", "CC"))])
def test_mirror_images_are_found(path):
    energy = molecule(path)
    x = energy.initial + 0.005 * torch.randn(50, *energy.event_shape)
    assert not is_mirrored(x, energy.structure).any()
    assert is_mirrored(x * torch.tensor([1.0, -1.0, 1.0]), energy.structure).all()
    moved = InternalCoordinates().build(energy).complete(x, torch.Generator().manual_seed(0)) + 1.0
    assert not is_mirrored(moved, energy.structure).any()


def test_one_centre_of_the_other_hand_is_enough():
    energy = molecule("tests/data/T.pdb")
    a, b = stereocentres(energy.structure)[1][:2]
    x = energy.initial.clone()
    x[:, [a, b]] = x[:, [b, a]]
    assert is_mirrored(x, energy.structure).all()


def test_what_has_no_stereocentre_has_no_mirror_image():
    methane = Structure(
        positions=torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64).numpy(),
        names=("C", "H1", "H2", "H3", "CL"),
        elements=("C", "H", "H", "H", "Cl"),
        masses=(12.0, 1.0, 1.0, 1.0, 35.0),
        bonds=((0, 1), (0, 2), (0, 3), (0, 4)),
        residues=("MOL",),
        residue_of=(0,) * 5,
    )
    assert stereocentres(methane) == ()
    assert not is_mirrored(-torch.randn(4, 5, 3), methane).any()
    bromochlorofluoro = replace(methane, elements=("C", "H", "F", "Br", "Cl"))
    assert len(stereocentres(bromochlorofluoro)) == 1


def test_the_target_is_the_enantiomer_of_the_file():
    energy = molecule("tests/data/T.pdb")
    x = energy.initial + 0.005 * torch.randn(50, *energy.event_shape)
    mirror = x * torch.tensor([1.0, -1.0, 1.0])
    assert energy.in_region(x).all()
    assert not energy.in_region(mirror).any()
    assert energy.in_region(torch.full_like(x, torch.nan)).all()  # no hand: they are counted as not finite
    faults = energy.find_faults(torch.cat([x, mirror[:3]]))
    assert {name for name, wrong in faults.items() if wrong.any()} == {
        "the other hand at CA of THR2",
        "the other hand at CB of THR2",
    }
    assert faults["the other hand at CA of THR2"].tolist() == [False] * 50 + [True] * 3


def test_a_centre_that_lies_flat_in_the_file_has_no_hand():
    structure = molecule("tests/data/V.pdb").structure
    assert stereocentres(replace(structure, positions=structure.positions * [1.0, 1.0, 0.0])) == ()


def test_broken_and_crushed_bonds_are_found():
    energy = molecule("tests/data/V.pdb")
    x = energy.initial.repeat(4, 1, 1)
    x[1, :5] += 3.0  # as in a wrapped molecule
    x[2] *= 10  # angstrom
    x[3] *= 0.1
    faults = {name: wrong.tolist() for name, wrong in energy.find_faults(x).items()}
    assert faults == {
        "a bond longer than 0.4 nm": [False, True, True, False],
        "a bond shorter than 30% of its length": [False, False, False, True],
    }
    with pytest.raises(ValueError, match="10 times as long"):
        energy.check_configurations(x[2:3])


def test_mirrored_proposals_are_not_trusted_without_any_data():
    """A generator of mirror images: everything about its weights is perfect, and none of it is this molecule."""
    from lit_bg.generators import Generator
    from lit_bg.report.assess import assess

    energy = molecule("tests/data/V.pdb")

    class Mirrored(Generator):
        def build(self, energy):
            return self

        def sample(self, n, rng, context=None):
            x = energy.initial + 0.001 * torch.randn(n, *energy.event_shape, generator=rng)
            return -x, -energy(x)

    verdict = assess(Mirrored(), energy, 2000, torch.Generator().manual_seed(0)).verdict
    assert verdict.word == "do not trust"
    assert "2000 of 2000 proposals lie outside the region" in " ".join(verdict.reasons)
