"""Laws of interpolants, and velocities against the closed form for Gaussians."""

import inspect
import math

import pytest
import torch

from lit_bg import interpolants
from lit_bg.interpolants import Interpolant, Linear, Trigonometric, VarianceExploding, VariancePreserving

MAKE = {
    "Linear": [Linear, lambda: Linear(noise=0.8)],
    "Trigonometric": [Trigonometric],
    "VarianceExploding": [VarianceExploding, lambda: VarianceExploding(0.01, 50.0, rho=math.inf)],
    "VariancePreserving": [VariancePreserving],
}
NEAR = {"VariancePreserving": 0.011, "VarianceExploding": math.inf}  # how far from the ends; VE starts wide, see below
every = pytest.mark.parametrize("make", [pytest.param(m, id=f"{n}-{i}") for n, ms in MAKE.items() for i, m in enumerate(ms)])
T = torch.linspace(0, 1, 11, dtype=torch.float64)


def test_every_exported_interpolant_is_under_law():
    classes = [getattr(interpolants, name) for name in interpolants.__all__]
    assert {c.__name__ for c in classes if not inspect.isabstract(c)} == set(MAKE)


@every
class TestEveryInterpolant:
    def test_ends(self, make):
        near = NEAR.get(type(make()).__name__, 1e-12)
        a, b, g = make().coefficients(T)
        expected = torch.tensor([1.0, 0.0], dtype=torch.float64)
        for series, ends in ((a, expected), (b, expected.flip(0)), (g, 0 * expected)):
            torch.testing.assert_close(series[[0, -1]], ends, atol=near, rtol=0)
        assert (a.diff() < 0).all()
        clock = make().clock(T)
        assert (clock.diff() > 0).all()
        assert clock[0] >= 0
        assert clock[-1] <= 1
        assert make().latent == bool((g > 0).any())

    def test_rates_are_derivatives(self, make):
        inner = T[1:-1]
        for rate, up, down in zip(
            make().rates(inner), make().coefficients(inner + 1e-6), make().coefficients(inner - 1e-6), strict=True
        ):
            torch.testing.assert_close(rate, (up - down) / 2e-6, atol=1e-8, rtol=1e-6)

    def test_the_regression_is_the_velocity_of_gaussians(self, make):
        r"""x0 ~ N(0, 1), x1 ~ N(m, s^2): E[rate | x_t = x] is linear in x, with the slope and offset of the closed form.

        $v(x) = \dot\beta m + c\, (x - \beta m)$ with
        $c = (\alpha \dot\alpha + \beta \dot\beta s^2 + \gamma \dot\gamma) / (\alpha^2 + \beta^2 s^2 + \gamma^2)$,
        within 4 sigma over 200 000 draws.
        """
        m, s, n = 0.7, 0.4, 200_000
        interpolant: Interpolant = make()
        rng = torch.Generator().manual_seed(0)
        for t in (0.15, 0.5, 0.8):
            x0, noise, x1 = torch.randn(3, n, 1, generator=rng, dtype=torch.float64)
            x1 = m + s * x1
            x, rate = interpolant.at(torch.full((n,), t, dtype=torch.float64), x0, x1, noise if interpolant.latent else None)
            (a, b, g), (da, db, dg) = (
                [c.item() for c in f(torch.tensor([t], dtype=torch.float64))]
                for f in (interpolant.coefficients, interpolant.rates)
            )
            slope = (a * da + b * db * s**2 + g * dg) / (a**2 + b**2 * s**2 + g**2)
            left = rate - db * m - slope * (x - b * m)  # must be uncorrelated with 1 and x
            for test in (torch.ones_like(x), x - b * m):
                product = (left * test).flatten()
                assert abs(product.mean()) < 4 * product.std() / n**0.5


def test_bad_noise():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        Linear(noise=-1.0)


def test_exploding_noise():
    for rho, middle in ((1.0, 5.05), (math.inf, 1.0)):
        sigma, alpha, _ = VarianceExploding(0.1, 10.0, rho).coefficients(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
        torch.testing.assert_close(sigma, torch.tensor([10.0, middle, 0.1], dtype=torch.float64))
        assert (alpha == 1).all()
