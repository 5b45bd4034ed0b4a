"""Folding: every arrangement of a molecule has one image in that of the topology file."""

import dataclasses

import pytest
import torch

from lit_bg.energies import Molecule
from lit_bg.molecules import Structure
from lit_bg.molecules.chirality import is_mirrored
from lit_bg.molecules.folding import Folding


@pytest.fixture(scope="module", params=["alanine_dipeptide", "capped_valine", "penta_alanine"])
def molecule(request):
    return Molecule(f"experiments/{request.param}.pdb", forcefield=["amber96.xml"])


def rng():
    return torch.Generator().manual_seed(0)


def test_images_of_the_topology_file_lead_back_to_it(molecule):
    folding, x = Folding(molecule.structure), molecule.initial
    assert folding.contains(x).all()
    image = x.clone()
    for i, j in folding.pairs.tolist():
        image[:, [i, j]] = image[:, [j, i]]
        assert not folding.contains(image).any()
        for hand in (1, -1):
            back, inside = folding(hand * image)
            assert inside.all()
            assert torch.equal(back, x)


def test_moves_keep_the_energy_and_do_nothing_within_the_arrangement(molecule):
    folding = Folding(molecule.structure)
    x = molecule.initial + 0.01 * torch.randn(20, *molecule.event_shape, generator=rng(), dtype=torch.float64)
    wild = molecule.initial + 0.1 * torch.randn(200, *molecule.event_shape, generator=rng(), dtype=torch.float64)
    moved, inside = folding(wild)
    assert inside.any()
    assert torch.equal(inside, folding.contains(moved))
    again, _ = folding(moved)
    assert torch.equal(again[inside], moved[inside])
    near, inside = folding(x)
    assert inside.all()
    assert torch.equal(near, x)
    torch.testing.assert_close(molecule(moved), molecule(wild), rtol=1e-9, atol=1e-6)


def test_types_are_hydrogens_of_one_atom(molecule):
    structure, types = molecule.structure, Folding(molecule.structure).types
    for kind in types.unique():
        alike = torch.nonzero(types == kind).flatten().tolist()
        assert len({structure.neighbours[i] for i in alike}) == 1 or len(alike) == 1
        assert len(alike) in (1, 3)
    assert int((types.bincount() == 3).sum()) == sum(
        sum(structure.elements[j] == "H" for j in around) == 3 for around in structure.neighbours
    )


def test_a_molecule_without_an_arrangement_is_refused(molecule):
    flat = dataclasses.replace(molecule.structure, bonds=molecule.structure.bonds[:1])
    with pytest.raises(ValueError, match="no atom of the molecule has four neighbours"):
        Folding(flat)


def test_a_pyramid_and_a_flat_centre(molecule):
    """A sulfoxide without any other hand is folded onto that of the file, and what lies flat there is left as it is."""
    bonds = [(0, 1), (0, 2), (0, 3), *((2, k) for k in (4, 5, 6)), (3, 7), (3, 8), (3, 9)]
    positions = 0.15 * torch.randn(10, 3, generator=rng(), dtype=torch.float64).numpy()
    made = Structure(
        positions=positions - positions.mean(0), names=tuple("SOCCHHHHHF"), elements=tuple("SOCCHHHHHF"), masses=(1.0,) * 10,
        bonds=tuple(bonds), residues=("MOL",), residue_of=(0,) * 10,
    )  # fmt: skip
    folding, x = Folding(made), torch.from_numpy(made.positions)[None]
    assert folding.mirrors
    back, inside = folding(-x)
    assert inside.all()
    assert not is_mirrored(back, made).any()
    structure = molecule.structure
    centre = next(i for i, near in enumerate(structure.neighbours) if len(near) == 4)
    flat = structure.positions.copy()
    flat[list(structure.neighbours[centre])] = 0.1 * torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]).numpy()
    bent = Folding(dataclasses.replace(structure, positions=flat))
    assert bent.log_order < Folding(structure).log_order + 1e-9
    assert len(bent.free + bent.rigid) < len(Folding(structure).free + Folding(structure).rigid)
    assert bent.contains(torch.from_numpy(flat)[None]).all()
