"""The Lennard-Jones solid: its lattice, its forces, and its mean energy."""

import math

import pytest
import torch
from springs import silent

from lit_bg.energies import LennardJonesSolid
from lit_bg.estimators import mean_with_error
from lit_bg.kernels import HMC, Langevin
from lit_bg.simulators import Simulation


def test_the_perfect_lattice():
    solid = LennardJonesSolid(4)
    x = solid.initial.double()
    assert x.shape == (1, 256, 3)
    assert solid.potential(x).item() / 256 == pytest.approx(-6.3032264458, abs=1e-6)  # the lattice in single precision
    _, gradient = solid.value_and_gradient(x)
    assert gradient.abs().max() < 1e-3


def test_forces_images_and_translations():
    """Its own gradient is that of autograd, and neither images of particles nor translations change the energy."""
    solid, rng = LennardJonesSolid(2, density=1.0, cutoff=1.5), torch.Generator().manual_seed(0)
    x = solid.initial.double() + 0.1 * torch.randn(3, 32, 3, generator=rng, dtype=torch.float64)
    y = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(solid(y).sum(), y)
    u, gradient = solid.value_and_gradient(x)
    torch.testing.assert_close(gradient, expected)
    assert (solid.n_values, solid.n_gradients) == (6, 6)
    images = torch.randint(-2, 3, x.shape, generator=rng).double() * solid.length
    torch.testing.assert_close(solid(x + images), u)
    torch.testing.assert_close(solid(x + torch.tensor([0.3, -1.0, 7.0])), u)
    torch.testing.assert_close(solid(solid.space.wrap(x + images)), u)


def test_pairs_one_by_one():
    solid = LennardJonesSolid(1, density=0.5, cutoff=0.95)
    x = solid.initial.double() + torch.tensor([[[0.0, 0.1, 0.0], [0.0, -0.4, -0.4], [-2.5, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    total = 0.0
    for i in range(4):
        for j in range(i):
            d = [float(v) - solid.length * round(float(v) / solid.length) for v in x[0, i] - x[0, j]]
            r = math.hypot(*d)
            if r < 0.95:
                total += 4 * (r**-12 - r**-6) - 4 * (0.95**-12 - 0.95**-6)
    assert total != 0
    assert solid.potential(x).item() == pytest.approx(total)


def test_small_cells_are_refused():
    with pytest.raises(ValueError, match=r"cutoff = 2.7 must be positive and at most half the cell, 2.19.*: give more cells"):
        LennardJonesSolid(3)
    with pytest.raises(ValueError, match="density > 0, got"):
        LennardJonesSolid(3, density=0.0)


def test_two_kernels_agree_on_a_small_solid():
    """Thirty-two particles: Langevin (with a bias of its time step below the error) and HMC (without), within 4 sigma."""
    solid, found = LennardJonesSolid(2, cutoff=1.4), []
    for kernel, stride, burn_in in ((HMC(0.01, 8), 2, 60), (Langevin(0.003, 20, friction=2.0), 2, 30)):
        trajectory = Simulation(kernel, frames=30, walkers=16, stride=stride, burn_in=burn_in).run(solid, 0, silent)
        assert trajectory.problems == []
        assert trajectory.x.mean(2).abs().max() < 1e-5
        found.append(mean_with_error(trajectory.u * solid.kT / 32))
    (a, da), (b, db) = found
    assert math.hypot(da, db) < 0.1
    assert abs(a - b) < 4 * math.hypot(da, db)


@pytest.mark.slow
def test_mean_energy_of_256_particles():
    """<U> / N = -3.520(2) at density 1.28 and kT = 2, by Monte Carlo: within 4 sigma of both errors."""
    solid = LennardJonesSolid(4)
    simulation = Simulation(HMC(0.008, 10), frames=60, walkers=8, stride=2, burn_in=60)
    trajectory = simulation.run(solid, 0, silent)
    mean, error = mean_with_error(trajectory.u * solid.kT / 256)
    assert error < 0.02
    assert abs(mean + 3.520) < 4 * math.hypot(error, 0.002)
