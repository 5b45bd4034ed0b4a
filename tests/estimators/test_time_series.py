import math

import pytest
import torch

from lit_bg.energies import DoubleWell, Gaussian
from lit_bg.estimators import mean_with_error, r_hat, statistical_inefficiency, virial
from lit_bg.spaces import Particles


def ar1(frames, walkers, rho, seed):
    """A stationary series with autocorrelation rho^t and unit variance: g = (1 + rho) / (1 - rho)."""
    noise = torch.randn(frames, walkers, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = torch.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, frames):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * noise[t]
    return x


@pytest.mark.parametrize(("rho", "walkers"), [(0.0, 1), (0.5, 4), (0.9, 20), (0.95, 1)])
def test_inefficiency_of_ar1(rho, walkers):
    frames = 40_000 // walkers
    g = statistical_inefficiency(ar1(frames, walkers, rho, seed=1))
    assert g == pytest.approx((1 + rho) / (1 - rho), rel=0.15)


def test_one_walker_and_a_column_are_the_same():
    x = ar1(1000, 1, 0.8, seed=2)
    assert statistical_inefficiency(x[:, 0]) == statistical_inefficiency(x)


def test_walkers_that_never_mix_count_as_one_frame_each():
    x = torch.tensor([0.0, 1.0, 1.0, 0.0]).repeat(100, 1)
    assert statistical_inefficiency(x) == pytest.approx(100, rel=0.02)
    student = 3.1824 / 2  # at 95 % of three degrees of freedom: four independent numbers say so much
    assert mean_with_error(x)[1] == pytest.approx(0.25 * student, rel=0.05)


def test_a_constant_series_and_a_single_frame():
    assert statistical_inefficiency(torch.ones(50)) == 1
    assert statistical_inefficiency(torch.rand(1, 30)) == 1
    assert mean_with_error(torch.tensor([2.0])) == (2.0, math.inf)


@pytest.mark.parametrize(("frames", "walkers"), [(1000, 1), (200, 10)])
def test_errors_of_means_are_calibrated(frames, walkers):
    """200 replicas at 52 to 105 independent frames each: unit variance of z within a third."""
    z = []
    x = ar1(frames, walkers * 200, 0.9, seed=4)
    for part in x.split(walkers, dim=1):
        mean, error = mean_with_error(part)
        z.append(mean / error)
    z = torch.tensor(z)
    assert abs(z.mean()) < 4 / math.sqrt(200)
    assert 0.75 < z.std() < 1.35


def test_r_hat_of_equal_walkers_is_one():
    assert r_hat(ar1(500, 8, 0.5, seed=5)) == pytest.approx(1, abs=0.01)


def test_r_hat_sees_location_scale_and_drift():
    x = ar1(500, 8, 0.5, seed=6)
    assert r_hat(x + torch.tensor([0.0, 2.0] * 4)) > 1.2
    assert r_hat(x * torch.tensor([1.0, 5.0] * 4)) > 1.1  # same mean: the folded ranks tell
    assert r_hat(x[:, 0] + torch.linspace(0, 4, 500)) > 1.2  # one walker: its halves


def test_r_hat_matches_arviz():
    from arviz_stats.base import array_stats

    x = ar1(400, 6, 0.7, seed=7) + 0.3 * torch.arange(6)
    assert r_hat(x) == pytest.approx(float(array_stats.rhat(x.T.numpy())), rel=1e-6)


def test_r_hat_at_the_edges():
    assert math.isnan(r_hat(torch.ones(100, 3)))
    assert math.isnan(r_hat(torch.rand(3, 5)))
    assert r_hat(torch.tensor([0.0, 1.0]).repeat(50, 1)) == math.inf


@pytest.mark.parametrize("bad", [torch.zeros(2, 3, 4), torch.zeros(0), torch.tensor([1.0, torch.nan])])
def test_what_is_no_series_is_refused(bad):
    with pytest.raises(ValueError, match=r"a series has shape|are not finite"):
        mean_with_error(bad)


class TestVirial:
    def test_exact_for_correlated_walkers(self):
        energy = Gaussian(4, scale=[0.5, 1.0, 2.0, 1.0])
        scale = torch.tensor(energy.scale)
        x = scale * torch.stack([ar1(400, 10, 0.8, seed=s) for s in range(4)], -1)
        value, error = virial(energy, x)
        assert abs(value - 4) < 4 * error
        independent = virial(energy, x.reshape(-1, 4))[1]
        assert error > 1.3 * independent  # x^2 has g = (1 + rho^2) / (1 - rho^2) = 4.6

    def test_wrong_temperature_and_wrong_units_fail(self):
        energy = DoubleWell()
        x = energy.exact_samples(100_000, torch.Generator().manual_seed(0))
        for wrong in (virial(energy.at(0.8), x), virial(energy, 1.05 * x)):
            assert abs(wrong[0] - 2) > 5 * wrong[1]

    def test_centre_of_mass_is_taken_out(self):
        class Pair(Gaussian):
            """Two particles on a spring in the plane."""

            symmetries = frozenset({"translation"})

            def __init__(self):
                super().__init__(2)
                self.space = Particles(2, 2)

            def potential(self, x):
                return 0.5 * ((x[:, 0] - x[:, 1]) ** 2).sum(-1)

        r = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x = torch.stack([r / 2, -r / 2], 1) + 1e4
        value, error = virial(Pair(), x)
        assert abs(value - 2) < 4 * error
        assert error < 0.03

    def test_other_shapes_are_refused(self):
        with pytest.raises(ValueError, match="x must be"):
            virial(Gaussian(3), torch.zeros(5, 4))
