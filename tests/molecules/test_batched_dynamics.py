"""Dynamics of a molecule in one batch."""

import math

import pytest
import torch

from lit_bg.energies import Molecule
from lit_bg.estimators import mean_with_error, r_hat, virial
from lit_bg.kernels import HMC, MALA, Langevin
from lit_bg.molecules.hydrogen_mass import repartitioned_masses
from lit_bg.simulators import OpenMMLangevin, ReplicaExchange, Simulation, Temperatures
from lit_bg.simulators.start import starting_points


@pytest.fixture(scope="module")
def ala2():
    return Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])


def silent(done, total, state):
    pass


def test_torsion_starts_turn_the_backbone_and_nothing_else(ala2):
    """Torsions all around, bonds and angles as they were, the amino acid still L."""
    x = starting_points(ala2, 200, "torsions", seed=1)
    for name in ("phi", "psi"):
        assert torch.histc(ala2.observables[name].function(x), 4, -math.pi, math.pi).min() > 25  # 50 +- 6 each
    i, j = torch.tensor(ala2.structure.bonds).T
    length = (x[:, i] - x[:, j]).norm(dim=-1)
    torch.testing.assert_close(length, length[:1].expand_as(length))
    angles = torch.tensor(list(ala2.structure.harmonic_angles))
    across = (x[:, angles[:, 0]] - x[:, angles[:, 2]]).norm(dim=-1)
    torch.testing.assert_close(across, across[:1].expand_as(across))
    assert ala2.in_region(x).all()
    assert not ala2.in_region(x * torch.tensor([1.0, 1.0, -1.0])).any()


@pytest.mark.parametrize("kernel", [HMC(0.0005, 5, target_acceptance=None), MALA(0.001, target_acceptance=None)], ids=repr)
def test_no_walker_stays_in_a_clash(kernel):
    """Where turned torsions make atoms overlap, moves of a length that is right elsewhere are all refused: 6 or 7 of 100."""
    peptide = Molecule("experiments/tri_alanine.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    assert peptide(starting_points(peptide, 100, "torsions", seed=0)).max() > 1e4
    found = Simulation(kernel, frames=20, walkers=100, stride=1, burn_in=0, start="torsions").run(peptide, 0, silent)
    assert (found.u[1:] != found.u[:-1]).any(0).all()


def test_hydrogens_take_their_mass_from_neighbours(ala2):
    masses = repartitioned_masses(ala2.structure, 3.0)
    assert sum(masses) == pytest.approx(sum(ala2.structure.masses))
    assert [m for m, e in zip(masses, ala2.structure.elements, strict=True) if e == "H"] == [3.0] * 12
    assert repartitioned_masses(ala2.structure, None) == list(ala2.structure.masses)


@pytest.mark.parametrize(
    ("frames", "walkers", "most"),
    [pytest.param(10, 16, 40.0, id="short"), pytest.param(300, 64, 2.0, id="long", marks=pytest.mark.slow)],
)
def test_virial_and_temperature(ala2, frames, walkers, most):
    kernel = Langevin(time_step=0.002, steps=50, friction=5.0, hydrogen_mass=3.0)
    md = Simulation(kernel, frames=frames, walkers=walkers, stride=1, burn_in=6, start="torsions")
    trajectory = md.run(ala2, 0, silent)
    assert trajectory.x.mean(2).abs().max() < 1e-6
    assert (trajectory.interval, trajectory.time_unit, trajectory.problems) == (0.1, "ps", [])
    value, error = virial(ala2, trajectory.x)
    assert error < most
    assert abs(value - 63) < 4 * error
    # 63 degrees of freedom; frames every 0.1 ps at friction 5/ps hold less than half as many independent ones
    expected = 5 * 300 * math.sqrt(2 / 63 / (0.3 * frames * walkers))
    assert trajectory.info["kinetic_temperature"] == pytest.approx(300.0, abs=expected)


def test_a_ladder_in_kelvin(ala2):
    ladder = Temperatures(600.0, pilot=0, also=[450.0])
    ladders = ReplicaExchange(Langevin(0.001, 10), ladder, frames=2, walkers=2, burn_in=2, start="torsions")
    assert ladders.other_kTs(ala2) == {"450K": pytest.approx(ala2.kT * 1.5)}
    trajectory = ladders.run(ala2, 0, silent)
    temperatures = trajectory.info["temperatures"]
    assert temperatures[0] == pytest.approx(300.0)
    assert temperatures[-1] == pytest.approx(600.0)
    assert any(t == pytest.approx(450.0) for t in temperatures)
    (warm,) = trajectory.others.values()
    at = ala2.at(ala2.kT * 1.5)
    torch.testing.assert_close(warm.u.flatten(), at(warm.x.flatten(0, 1)).float(), atol=1e-2, rtol=1e-3)
    with pytest.raises(ValueError, match="200 K is not above the temperature of the energy, 300 K"):
        ReplicaExchange(Langevin(), Temperatures(200.0)).check(ala2)
    with pytest.raises(ValueError, match="longer than any bond vibrates"):
        ReplicaExchange(Langevin(time_step=2.0), Temperatures(400.0, pilot=0)).check(ala2)


@pytest.mark.slow
def test_replica_exchange_agrees_with_itself_from_both_sides_of_phi(ala2):
    """Ladders that start anywhere on the Ramachandran plane agree on phi, and on energies with another integrator."""
    kernel = Langevin(time_step=0.002, steps=50, hydrogen_mass=3.0)
    exchange = ReplicaExchange(kernel, Temperatures(900.0), 4, 1000, 32, stride=2, burn_in=500, start="torsions")
    trajectory = exchange.run(ala2, 0, silent)
    assert trajectory.problems == []
    phi = ala2.observables["phi"].function(trajectory.x.flatten(0, 1)).reshape(trajectory.x.shape[:2])
    assert r_hat(phi.cos()) < 1.05
    other = OpenMMLangevin(frames=500, walkers=8, time_step=0.002, interval=0.2, burn_in=20.0, hydrogen_mass=3.0).run(
        ala2, 0, silent
    )
    mean, error = mean_with_error(trajectory.u)
    theirs = mean_with_error(ala2(other.x.flatten(0, 1)).reshape(other.x.shape[:2]))
    assert abs(mean - theirs[0]) < 4 * math.hypot(error, theirs[1])
