"""The Ising model against what is known of it exactly."""

import math

import pytest
import torch

from lit_bg.energies import Ising
from lit_bg.energies.ising import all_spins, log_partition_function

CRITICAL = 0.4406867935


@pytest.mark.parametrize("beta", [0.1, 0.4, CRITICAL, 1.0])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_formula_is_the_sum_over_all_states(size, beta):
    energy = Ising(size, kT=1 / beta)
    formula = log_partition_function(torch.tensor(beta, dtype=torch.float64), size).item()
    assert formula == pytest.approx(energy.log_Z, abs=1e-10)
    e = energy.potential(all_spins(size)).double()
    assert len(e) == 2 ** (size * size)
    b = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_partition_function(b, size), b)
    assert -slope.item() == pytest.approx(((-beta * e).softmax(0) @ e).item(), abs=1e-8)


@pytest.mark.parametrize(
    ("size", "beta", "free_energy"),
    [(4, 0.4, -2.2751707850), (8, 0.4, -2.2109136235), (16, CRITICAL, -2.1153261879), (32, 0.5, -2.0529394289)],
)
def test_free_energies_per_site(size, beta, free_energy):
    """F / N = -ln Z / (beta N); the coupling and kT enter as their ratio."""
    for coupling in (1.0, 2.5):
        energy = Ising(size, coupling, kT=coupling / beta)
        assert -energy.log_Z / (beta * size**2) == pytest.approx(free_energy, abs=1e-9)


def test_mean_energy_at_the_critical_point():
    assert Ising(16, kT=1 / CRITICAL).mean_energy / 256 == pytest.approx(-1.45306485, abs=1e-7)
    assert Ising(16, kT=1.0).observables["E / N"].exact == pytest.approx(-1.99716020, abs=1e-7)


def test_signs_of_the_magnetisation():
    energy = Ising(4)
    every = all_spins(4)
    label = energy.modes.label(every)
    assert label.double().mean() == 0.5
    assert torch.equal(energy.modes.label(-every), 1 - label)
    assert energy.space.contains(energy.initial).all()


def test_bonds_are_counted_once():
    """One spin turned round in an ordered lattice breaks four of 2 L^2 bonds."""
    x = torch.ones(1, 5, 5)
    assert Ising(5, 1.5).potential(x).item() == -1.5 * 50
    x[0, 2, 3] = -1
    assert Ising(5, 1.5).potential(x).item() == -1.5 * (50 - 8)
    assert math.isclose(Ising(5, 1.5, kT=3.0)(x).item(), -0.5 * 42)


def test_what_has_no_phases_is_refused():
    with pytest.raises(ValueError, match="size >= 2 and coupling > 0, got size=1"):
        Ising(1)
    with pytest.raises(ValueError, match=r"coupling=-1\.0"):
        Ising(4, -1.0)
