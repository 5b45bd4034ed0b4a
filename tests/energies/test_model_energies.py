"""Printed values of the literature, and of independent quadrature."""

import math

import pytest
import torch

from lit_bg import energies
from lit_bg.estimators import log_z


def stationary(energy, points):
    """Largest force component at each of the points."""
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(energy(x).sum(), x)[0].abs().amax(-1)


class TestDoubleWell:
    @pytest.mark.parametrize(
        ("kT", "log_Z", "left"),
        [
            (0.5, 21.03679497, 0.99894103),
            (1.0, 11.02046723, 0.96707045),
            (2.0, 6.50950720, 0.83620647),
            (4.0, 4.76943990, 0.68147471),
        ],
    )
    def test_exact_values(self, kT, log_Z, left):
        e = energies.DoubleWell(kT=kT)
        assert e.log_Z == pytest.approx(log_Z, abs=6e-9)
        assert e.p_left == pytest.approx(left, abs=6e-9)

    def test_landscape(self):
        e = energies.DoubleWell()
        points = [[-1.77230341, 0.0], [1.68877582, 0.0], [0.08352759, 0.0]]
        assert (stationary(e, points) < 1e-6).all()
        expected = torch.tensor([-10.75240566, -7.28930945, 0.04171512], dtype=torch.float64)
        torch.testing.assert_close(e(torch.tensor(points, dtype=torch.float64)), expected, atol=6e-9, rtol=0)
        assert e.observables["x1"].exact == pytest.approx(-1.625360, abs=6e-7)

    def test_bad_parameters_are_refused(self):
        with pytest.raises(ValueError, match="a4, a2, k > 0"):
            energies.DoubleWell(a2=-1.0)
        with pytest.raises(ValueError, match="kT must be positive, got 0"):
            energies.DoubleWell(kT=0)


class TestManyWell:
    @pytest.mark.parametrize(("kT", "log_Z"), [(1.0, 10.29347971), (2.0, 6.27814265), (4.0, 4.71050240)])
    def test_one_copy(self, kT, log_Z):
        assert energies.ManyWell(2, kT=kT).log_Z == pytest.approx(log_Z, abs=6e-9)

    def test_thirty_two_dimensions(self):
        e = energies.ManyWell(32)
        assert e.log_Z == pytest.approx(164.6956753, abs=6e-8)
        assert e.p_right == pytest.approx(0.8443071, abs=6e-8)
        assert e.observables["x1"].exact == pytest.approx(1.187961, abs=6e-7)
        assert len(e.modes.names) == 17
        assert e.modes.exact[16].item() == pytest.approx(0.8443071**16, rel=1e-6)
        assert sum(name.startswith("P(x1>0)") for name in e.observables) == 16

    def test_landscape(self):
        points = [[-1.71082904, 0.0], [-0.04169082, 0.0], [1.75251986, 0.0]]
        e = energies.ManyWell(2)
        assert (stationary(e, points) < 1e-6).all()
        expected = torch.tensor([-8.13924713, 0.01041968, -9.87117255], dtype=torch.float64)
        torch.testing.assert_close(e(torch.tensor(points, dtype=torch.float64)), expected, atol=6e-9, rtol=0)

    def test_an_odd_dimension_is_refused(self):
        with pytest.raises(ValueError, match="even and positive, got 7"):
            energies.ManyWell(7)


class TestMuellerBrown:
    @pytest.mark.parametrize(
        ("kT", "log_Z", "upper", "x", "y"),
        # 16-point Gauss-Legendre panels on both sides of y = 0.9 over [-5, 3] x [-3, 5]
        [
            (0.5, 25.65015652, 0.9995279, -0.563105, 1.435546),
            (1.0, 11.72959056, 0.9738849, -0.543664, 1.394512),
            (2.0, 5.36613324, 0.7885731, -0.424894, 1.165086),
        ],
    )
    def test_exact_values(self, kT, log_Z, upper, x, y):
        e = energies.MuellerBrown(kT=kT)
        assert e.log_Z == pytest.approx(log_Z, abs=6e-9)
        assert e.modes.exact[0].item() == pytest.approx(upper, abs=6e-8)
        assert e.observables["x"].exact == pytest.approx(x, abs=6e-7)
        assert e.observables["y"].exact == pytest.approx(y, abs=6e-7)

    def test_projection_of_the_notebook(self):
        e = energies.MuellerBrown()
        assert e.observables["P(0.7x-0.7y<-0.55)"].exact == pytest.approx(0.9748685, abs=2e-7)

    def test_landscape(self):
        e = energies.MuellerBrown()
        points = [
            [-0.55822363, 1.44172584],
            [0.62349940, 0.02803776],
            [-0.05001082, 0.46669410],
            [-0.82200156, 0.62431280],
            [0.21248658, 0.29298833],
        ]
        assert (stationary(e, points) < 1e-5).all()
        expected = torch.tensor([-14.66995172, -10.81667241, -8.07678181, -4.06648435, -7.22489401], dtype=torch.float64)
        torch.testing.assert_close(e(torch.tensor(points, dtype=torch.float64)), expected, atol=6e-9, rtol=0)

    def test_spot_values(self):
        x = torch.tensor([[0.0, 0.0], [-0.5, 1.5], [0.5, 0.0], [1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
        expected = torch.tensor([-4.84012742, -14.52727167, -10.28267919, -5.34070015, -9.11301168], dtype=torch.float64)
        torch.testing.assert_close(energies.MuellerBrown()(x), expected, atol=6e-9, rtol=0)

    def test_further_dimensions_are_harmonic(self):
        flat, tall = energies.MuellerBrown(2, kT=2.0), energies.MuellerBrown(5, kT=2.0)
        assert tall.log_Z - flat.log_Z == pytest.approx(1.5 * math.log(4 * math.pi))
        with pytest.raises(ValueError, match="at least 2, got 1"):
            energies.MuellerBrown(1)


class TestWolfeQuapp:
    @pytest.mark.parametrize(
        ("kT", "log_Z", "left"),
        # 20-point Gauss-Legendre panels on both sides of x = 0 over [-7, 7]^2
        [(1.0, -1.71156187, 0.96494095), (2.0, -0.81325624, 0.82644968), (10.0, 1.58741619, 0.56304258)],
    )
    def test_exact_values(self, kT, log_Z, left):
        e = energies.WolfeQuapp(kT=kT)
        assert e.log_Z == pytest.approx(log_Z, abs=6e-9)
        assert e.modes.exact[0].item() == pytest.approx(left, abs=6e-9)

    def test_landscape(self):
        e = energies.WolfeQuapp()
        points = [[-1.87990876, 0.78403710], [1.78623814, -0.83123937]]
        assert (stationary(e, points) < 1e-5).all()
        expected = torch.tensor([0.00021849, 3.43852672], dtype=torch.float64)
        torch.testing.assert_close(e(torch.tensor(points, dtype=torch.float64)), expected, atol=6e-9, rtol=0)


class TestGaussianMixture:
    def test_forty_modes_are_the_published_ones(self):
        e = energies.GaussianMixture.forty()
        assert e.mu.shape == (40, 2)
        first = torch.tensor([[-0.29947281, 21.4577446], [-32.9218063, -29.437561]], dtype=torch.float64)
        torch.testing.assert_close(e.mu[:2], first, atol=1e-6, rtol=0)
        last = torch.tensor([3.67969990, -25.0242138], dtype=torch.float64)
        torch.testing.assert_close(e.mu[-1], last, atol=1e-6, rtol=0)
        torch.testing.assert_close(e.mu.sum(0), torch.tensor([-85.62051, 49.60152], dtype=torch.float64), atol=2e-5, rtol=0)
        assert torch.pdist(e.mu).min().item() == pytest.approx(1.1800, abs=1e-4)
        assert e.log_Z == 0
        assert energies.GaussianMixture()(e.initial.double())[0] == e(e.initial.double())[0]

    def test_density_is_that_of_torch(self):
        means, scale, weight = [[-2.0, 0.0], [2.0, 1.0]], [1.0, 0.5], [0.2, 0.6]
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.tensor(weight)),
            torch.distributions.Independent(
                torch.distributions.Normal(torch.tensor(means), torch.tensor(scale)[:, None].expand(2, 2)), 1
            ),
        )
        x = 2 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(-energies.GaussianMixture(means, scale, weight)(x), mixture.log_prob(x))

    def test_far_apart_the_populations_are_the_weights(self):
        e = energies.GaussianMixture([[-30.0, 0.0], [30.0, 0.0]], 1.0, [0.25, 0.75])
        torch.testing.assert_close(e.modes.exact, torch.tensor([0.25, 0.75], dtype=torch.float64), atol=1e-9, rtol=0)
        hot = e.at(2.0)  # each Gaussian alone: the weight goes as its own w^(1/kT)
        assert hot.modes.exact[1].item() == pytest.approx(math.sqrt(3) / (1 + math.sqrt(3)), abs=1e-7)
        assert not hot.has_exact_samples

    def test_sizes_that_do_not_fit_are_refused(self):
        with pytest.raises(ValueError, match="2 means, but 3 weights"):
            energies.GaussianMixture([[0.0], [1.0]], weights=[1.0, 1.0, 1.0])
        with pytest.raises(ValueError, match="positive weights"):
            energies.GaussianMixture([[0.0], [1.0]], weights=[1.0, -1.0])


class TestGaussian:
    def test_covariance(self):
        e = energies.Gaussian(2, loc=[1.0, -1.0], covariance=[[2.0, 0.6], [0.6, 1.0]], kT=0.5)
        torch_gauss = torch.distributions.MultivariateNormal(
            torch.tensor([1.0, -1.0]), 0.5 * torch.tensor([[2.0, 0.6], [0.6, 1.0]])
        )
        x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(-e(x) - e.log_Z, torch_gauss.log_prob(x))

    def test_bad_parameters_are_refused(self):
        with pytest.raises(ValueError, match=r"dim=2, but loc has shape \(3,\)"):
            energies.Gaussian(2, loc=[0.0, 0.0, 0.0])
        with pytest.raises(ValueError, match="positive definite"):
            energies.Gaussian(2, covariance=[[1.0, 2.0], [2.0, 1.0]])


class TestFunnel:
    @pytest.mark.parametrize("kT", [1.0, 1.2])
    def test_log_Z_by_importance_sampling(self, kT):
        """Another temperature's funnel as the proposal: within 4 sigma."""
        e = energies.Funnel(4, sigma=1.0, kT=kT)
        q = energies.Funnel(4, sigma=1.0, kT=1.05)
        x = q.exact_samples(50_000, torch.Generator().manual_seed(0)).double()
        value, error = log_z(-e(x) + q(x) + q.log_Z)
        assert error < 0.02
        assert abs(value - e.log_Z) < 4 * error
