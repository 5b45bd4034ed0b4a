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
    return Molecule(path, ["amber99sbildn.xml", "amber99_obc.xml"])


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
        positions=torch.eye(5, 3, dtype=torch.float64).numpy(),
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
