"""Anchors: which they are, and what is refused."""

import pytest
import torch
from small_molecules import DIPEPTIDE, Bare, from_base, jittered, molecule, superposed, toy

from lit_bg.energies import DoubleWell
from lit_bg.spaces import Kind
from lit_bg.transforms import MixedCoordinates

ZIGZAG = toy([[0.1 * i, 0.05 * (i % 2), 0.02 * i * i] for i in range(6)], [(i, i + 1) for i in range(5)])


def names(chart, structure):
    return sorted(structure.names[i] for i in chart.start.tolist())


def test_backbone_of_a_capped_peptide():
    energy = molecule(DIPEPTIDE)
    chart = MixedCoordinates().build(energy)
    assert names(chart, energy.structure) == ["C", "C", "CA", "N", "N"]
    kinds = chart.domain.kinds.tolist()
    assert kinds[:9] == [Kind.LINEAR] * 9
    # phi and psi are in the anchors; two omega (their last atoms hang on the anchors) and three methyl groups turn
    assert kinds.count(Kind.CIRCULAR) == 5


def test_anchors_by_name_and_residue():
    energy = molecule(DIPEPTIDE)
    chart = MixedCoordinates(anchors=["N", "CA", "C", "ALA:CB"]).build(energy)
    assert names(chart, energy.structure).count("CB") == 1
    assert chart.domain.dim == 60


def test_principal_components_of_the_anchors():
    energy = molecule(DIPEPTIDE)
    chart = MixedCoordinates().build(energy).double()
    x = jittered(energy, 500, width=0.005)
    before = chart.inverse(x)[0][:, :9].T.cov()
    chart.adapt(x)
    after = chart.inverse(x)[0][:, :9]
    torch.testing.assert_close(after.T.cov(), torch.eye(9, dtype=x.dtype), rtol=0, atol=1e-9)
    assert (before - torch.eye(9)).abs().max() > 0.3


def test_before_data_the_base_lies_around_the_file():
    energy = molecule(DIPEPTIDE)
    chart = MixedCoordinates().build(energy).double()
    x = chart(0 * from_base(chart, 1))[0][:, chart.start]
    file = torch.from_numpy(energy.structure.positions)[None][:, chart.start]
    torch.testing.assert_close(superposed(x, file), file, rtol=0, atol=1e-6)


def test_several_molecules_with_anchors_of_their_own():
    dimer = toy(
        [[0, 0, 0], [0.1, 0, 0], [0.15, 0.1, 0], [0.2, 0.1, 0.1], [1, 1, 0], [1.1, 1, 0.03], [1.15, 1.1, 0], [1.2, 1.1, 0.1]],
        [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7)],
    )
    chart = MixedCoordinates(anchors=[f"A{i}" for i in (0, 1, 2, 4, 5, 6)]).build(Bare(dimer)).double()
    z = 0.5 * from_base(chart, 50)
    torch.testing.assert_close(chart.inverse(chart(z)[0])[0], z, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: MixedCoordinates().build(DoubleWell()), "MixedCoordinates needs a molecule with bonds, and DoubleWell"),
        (lambda: MixedCoordinates().build(Bare(ZIGZAG)), "at least three anchors, anchors=backbone are 0 atoms"),
        (lambda: MixedCoordinates(anchors=["A0", "A1", "B"]).build(Bare(ZIGZAG)), "no atom is called 'B'"),
        (lambda: MixedCoordinates(anchors=["WAT:A0"]).build(Bare(ZIGZAG)), "no atom is called 'WAT:A0'"),
        (
            lambda: MixedCoordinates(anchors=["A0", "A1", "A4"]).build(Bare(ZIGZAG)),
            "atom A4 of residue TOY 1 is an anchor in a group of 1",
        ),
        (
            lambda: MixedCoordinates(anchors=["A0", "A1", "A2"]).build(
                Bare(toy([[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [0.2, 0.1, 0]], [(0, 1), (1, 2), (2, 3)]))
            ),
            "the anchors lie within 0.000 nm of a line",
        ),
        (lambda: MixedCoordinates(torsions="gaussian"), "torsions=gaussian"),
        (
            lambda: MixedCoordinates().build(molecule(DIPEPTIDE)).adapt(jittered(molecule(DIPEPTIDE), 5)),
            "covariance of 5 frames has rank 4 of 9",
        ),
    ],
)
def test_what_does_not_fit_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()
