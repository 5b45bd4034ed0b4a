"""Minima, exact values and order parameters of systems of particles."""

import math

import pytest
import torch
from scipy.optimize import minimize

from lit_bg.energies import DW4, BistableDimer, CoulombGas, LennardJones
from lit_bg.energies.bond_order import bond_order
from lit_bg.energies.clusters import cluster
from lit_bg.estimators import mean_with_error
from lit_bg.kernels import HMC
from lit_bg.simulators import Simulation


def relaxed(energy, start):
    """The minimum of the potential near a configuration, (N, d)."""

    def value_and_gradient(flat):
        x = torch.from_numpy(flat).reshape(1, *energy.event_shape).requires_grad_()
        u = energy.potential(x)
        (gradient,) = torch.autograd.grad(u.sum(), x)
        return u.item(), gradient.flatten().numpy()

    return minimize(value_and_gradient, start.double().flatten().numpy(), jac=True, method="L-BFGS-B", options={"ftol": 1e-15})


@pytest.mark.parametrize(
    ("n", "factor", "trap", "expected"),
    [
        (13, 1, 0, -44.32680142),
        (13, 1, 1, -38.77218803),
        (13, 2, 0, -88.65360284),
        (13, 2, 1, -83.08964407),
        (38, 1, 0, -173.92842659),
        (38, 2, 0, -347.85685318),
        (55, 1, 0, -279.24847046),
        (55, 1, 1, -212.60148145),
        (55, 2, 0, -558.49694093),
        (55, 2, 1, -491.64126911),
    ],
)
def test_lowest_minima_of_lennard_jones_clusters(n, factor, trap, expected):
    """Of the Cambridge Cluster Database (no trap), from the ideal clusters."""
    energy = LennardJones(n, factor=factor, trap=trap)
    assert relaxed(energy, energy.initial).fun == pytest.approx(expected, abs=1e-6)


def test_lennard_jones_of_two():
    """Two particles at twice the distance of the minimum; what the trap adds is half the squared distance to the centre."""
    x = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]])
    assert LennardJones(2, factor=1, epsilon=5.0, r_min=2.0, trap=0.0, d=2).potential(x).item() == pytest.approx(-5)
    assert LennardJones(2, factor=2, epsilon=5.0, r_min=2.0, d=2).potential(x).item() == pytest.approx(-9)


def test_lowest_minima_of_dw4_and_the_coulomb_gas():
    """Of 20 descents from random starts."""
    rng = torch.Generator().manual_seed(0)
    for energy, width, expected in ((DW4(), 3.0, -25.7922017), (CoulombGas(), 1.0, 16.827338)):
        starts = width * torch.randn(20, *energy.event_shape, generator=rng, dtype=torch.float64)
        assert min(relaxed(energy, x).fun for x in starts) == pytest.approx(expected, abs=1e-6)


def test_exact_values_of_dw4():
    """Particle 1 held at the origin and 2 at distance r; 3 and 4 by a convolution, r by a sum: log Z, <U>, <r>, <r^2>."""
    spacing, half = 0.125, 128
    grid = spacing * torch.arange(-half, half, dtype=torch.float64)
    X, Y = torch.meshgrid(grid, grid, indexing="ij")
    r = torch.arange(0.05, 9.0, 0.05, dtype=torch.float64)

    def weights(beta):
        """Integral over 3 and 4 for every r, times that of the direction of 2."""
        energy = DW4()

        def boltzmann(distance):
            return torch.exp(-beta * energy.pair(distance))

        h = torch.fft.rfft2(torch.fft.ifftshift(boltzmann(torch.hypot(X, Y))))
        values = []
        for a in r.tolist():
            g = boltzmann(torch.hypot(X, Y)) * boltzmann(torch.hypot(X - a, Y))
            both = torch.fft.irfft2(torch.fft.rfft2(g) * h, s=g.shape)  # boltzmann(r_34), one of the two integrated out
            values.append((g * both).sum() * spacing**4)
        return torch.stack(values) * boltzmann(r) * 2 * math.pi * r

    w, step = weights(1.0), 1e-4
    log_z = math.log(w.sum().item() * 0.05) - math.log(4)  # N^(d/2) between one particle held and no centre of mass
    observables = DW4().observables
    assert log_z == pytest.approx(DW4().log_Z, abs=1e-6)
    assert (w @ r / w.sum()).item() == pytest.approx(observables["<r>"].exact, abs=1e-6)
    assert 1.5 * (w @ r**2 / w.sum()).item() == pytest.approx(observables["spread"].exact, abs=1e-5)
    slope = (weights(1 + step).sum().log() - weights(1 - step).sum().log()) / (2 * step)
    assert -slope.item() == pytest.approx(observables["U"].exact, abs=1e-5)
    assert DW4(kT=2.0).log_Z is None


def test_bond_order_without_a_near_pair_is_zero():
    x = torch.tensor([[[0.0, 0, 0], [5, 0, 0]], [[0, 0, 0], [1, 0, 0]]])
    assert bond_order(x, torch.tensor([[0], [1]]), 4, 1.4).tolist() == pytest.approx([0, 1], abs=1e-6)
    assert bond_order(x[:1], torch.tensor([[0], [1]]), 4, 1.4).tolist() == [0]


def test_bond_order_of_known_packings():
    """Of the twelve bonds of one atom: fcc 0.19094 and 0.57452, icosahedron 0 and 0.66332."""
    centre = torch.stack([torch.zeros(12, dtype=torch.long), torch.arange(1, 13)])
    fcc = torch.tensor([p for p in torch.cartesian_prod(*[torch.arange(-1, 2)] * 3).tolist() if sum(map(abs, p)) == 2])
    fcc = torch.cat([torch.zeros(1, 3), fcc / math.sqrt(2)]).double()
    for x, q4, q6 in ((fcc, 0.19094, 0.57452), (cluster(13), 0.0, 0.66332)):
        assert bond_order(x[None], centre, 4, 1.391).item() == pytest.approx(q4, abs=1e-5)
        assert bond_order(x[None], centre, 6, 1.391).item() == pytest.approx(q6, abs=1e-5)


def test_funnels_of_38():
    energy = LennardJones(38, factor=1, kT=0.15)
    liquid = energy.initial + 0.3 * torch.randn(20, 38, 3, generator=torch.Generator().manual_seed(0))
    assert energy.modes.label(energy.initial).tolist() == [1]
    assert energy.modes.label(liquid).sum() == 0
    assert LennardJones(13, factor=1).modes is None


def test_the_bond_of_the_dimer_and_its_box():
    """A barrier of a^2 / 4b = 15.625 between minima at 1.5 -+ 0.5590; 200 delta^2 outside the box."""
    energy = BistableDimer(slope=0.0)
    x = 50.0 * torch.randn(3, 38, 2, dtype=torch.float64)  # disks far away from each other
    d = torch.tensor([1.5 - 0.55902, 1.5, 1.5 + 0.55902], dtype=torch.float64)
    bond = energy.pair(torch.cat([d[:, None], energy.distances(x)[:, 1:] + 1e3], 1)).sum(-1)
    torch.testing.assert_close(bond, torch.tensor([-15.625, 0, -15.625], dtype=torch.float64), atol=1e-6, rtol=0)
    inside = energy.initial[:1].double()
    outside = inside.clone()
    outside[:, 2, 0] = -3.1
    assert (energy.external(outside) - energy.external(inside)).item() == pytest.approx(2.0)
    assert energy.modes.label(energy.initial).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("energy", "sampler", "expected", "uncertainty"),
    [
        (DW4(), Simulation(HMC(0.05, 10), frames=100, walkers=300, stride=3, burn_in=200), -22.54151, 0.0),
        (CoulombGas(), Simulation(HMC(0.05, 10), frames=50, walkers=200, stride=2, burn_in=200), 17.38638, 0.0002),
        pytest.param(
            LennardJones(13, factor=2), Simulation(HMC(0.02, 10), frames=100, walkers=200, stride=5, burn_in=1000), -42.95,
            0.02, marks=pytest.mark.slow,
        ),
    ],
    ids=["DW4", "CoulombGas", "LJ13"],
)  # fmt: skip
def test_mean_energies_by_simulation(energy, sampler, expected, uncertainty):
    """Within 4 sigma of the simulation's error and of the expected value's own."""
    trajectory = sampler.run(energy, 0, lambda *_: None)
    mean, error = mean_with_error(trajectory.u.double() * energy.kT)
    assert error < 0.1 * energy.kT
    assert abs(mean - expected) < 4 * math.hypot(error, uncertainty)
