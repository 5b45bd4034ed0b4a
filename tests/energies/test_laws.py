"""What holds for every energy, exported ones without exception."""

import inspect
from pathlib import Path

import pytest

from lit_bg import energies
from lit_bg.energies import Energy
from lit_bg.testing import ENERGY_LAWS, EnergyCase

PDB = Path(__file__).parents[2] / "experiments" / "alanine_dipeptide.pdb"
MAKE = {
    "BistableDimer": [lambda: energies.BistableDimer(), lambda: energies.BistableDimer(9, slope=2.0, kT=2.0)],
    "CoulombGas": [lambda: energies.CoulombGas(), lambda: energies.CoulombGas(5, 3, kT=1.0)],
    "DW4": [lambda: energies.DW4(), lambda: energies.DW4(kT=2.0)],
    "DoubleWell": [lambda: energies.DoubleWell(), lambda: energies.DoubleWell(5, a1=0.3, k=2.0, kT=1.7)],
    "Funnel": [lambda: energies.Funnel(2, sigma=1.0), lambda: energies.Funnel(4, sigma=1.0, kT=1.1)],
    "Gaussian": [
        lambda: energies.Gaussian(3, loc=[1.0, 0.0, -2.0], scale=[0.5, 1.0, 2.0]),
        lambda: energies.Gaussian(2, loc=1.0, covariance=[[2.0, -0.9], [-0.9, 1.0]], kT=0.6),
    ],
    "GaussianMixture": [
        lambda: energies.GaussianMixture.forty(),
        lambda: energies.GaussianMixture([[-2.0, 0.0], [2.0, 1.0], [0.5, 3.0]], [1.0, 0.5, 0.8], [0.2, 0.5, 0.3]),
        lambda: energies.GaussianMixture([[-6.0, 0.0, 1.0], [6.0, 0.0, 0.0]], 1.0, [1.0, 3.0]),
    ],
    "Ising": [lambda: energies.Ising(3, kT=2.5), lambda: energies.Ising(8, coupling=0.5, kT=1.3)],
    "LennardJones": [
        lambda: energies.LennardJones(13, factor=2),
        lambda: energies.LennardJones(38, factor=1, kT=0.15),
        lambda: energies.LennardJones(7, factor=1, epsilon=0.5, r_min=1.5, trap=0.2, d=2, kT=1.3),
    ],
    "LennardJonesSolid": [
        lambda: energies.LennardJonesSolid(2, density=1.0, cutoff=1.5),
        lambda: energies.LennardJonesSolid(1, density=0.5, cutoff=0.9, kT=1.3),
    ],
    "ManyWell": [lambda: energies.ManyWell(2), lambda: energies.ManyWell(8, kT=1.5)],
    "Molecule": [lambda: energies.Molecule(str(PDB), forcefield=["amber96.xml", "implicit/obc1.xml"])],
    "MuellerBrown": [lambda: energies.MuellerBrown(), lambda: energies.MuellerBrown(4, kT=2.0)],
    "Tempered": [
        lambda: energies.Tempered(energies.DoubleWell(), 0.1, 4.0),
        lambda: energies.Tempered(energies.DW4(kT=1.5), 0.5, 10.0),
    ],
    "WolfeQuapp": [lambda: energies.WolfeQuapp(), lambda: energies.WolfeQuapp(3, kT=2.0)],
}
CLASSES = [
    name
    for name in energies.__all__
    if isinstance(getattr(energies, name), type)
    and issubclass(getattr(energies, name), Energy)
    and not inspect.isabstract(getattr(energies, name))
]
CASES = [pytest.param(make, id=f"{name}-{i}") for name in CLASSES for i, make in enumerate(MAKE[name])]


def test_every_exported_energy_is_under_law():
    assert set(MAKE) == set(CLASSES)


@pytest.mark.parametrize("law", ENERGY_LAWS)
@pytest.mark.parametrize("make", CASES)
def test_every_energy_obeys_every_law(make, law):
    ENERGY_LAWS[law](EnergyCase(make()))
