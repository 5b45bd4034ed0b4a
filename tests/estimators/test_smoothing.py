"""Pareto-smoothed weights against arviz-stats and exact values; the raw figure is always there."""

import math

import pytest
import torch

from lit_bg.estimators import ess, expectation, log_z, pareto_k, smooth_weights


def pareto(k, n, seed=0):
    """Log weights whose tail is Pareto of shape k; their mean is 1 / (1 - k)."""
    return -k * torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).log()


WEIGHTS = {
    **{f"Pareto {k}": pareto(k, 10_000) for k in (0.2, 0.5, 0.7, 1.0)},
    "few": pareto(0.5, 100, 1),
    "lognormal": torch.randn(2500, generator=torch.Generator().manual_seed(2), dtype=torch.float64),
    "bounded": torch.rand(10_000, generator=torch.Generator().manual_seed(3), dtype=torch.float64),
    "far from zero": pareto(0.5, 10_000) - 5000.0,
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_matches_arviz(case):
    from arviz_stats.base import array_stats

    log_w = WEIGHTS[case]
    expected, k = array_stats.psislw(-log_w.numpy())  # it takes the negative
    found = smooth_weights(log_w)
    torch.testing.assert_close(found.log_w.log_softmax(0), torch.as_tensor(expected), rtol=0, atol=1e-6)
    assert found.k == pytest.approx(float(k), abs=1e-6)


@pytest.mark.parametrize("case", WEIGHTS)
def test_what_smoothing_leaves(case):
    log_w = WEIGHTS[case]
    found = smooth_weights(log_w)
    assert torch.equal(found.raw, log_w)
    changed = found.log_w != log_w
    size = min(len(log_w) // 5, math.ceil(3 * math.sqrt(len(log_w))))
    assert int(changed.sum()) <= size
    rest = ~changed & (log_w < log_w.max())  # the very largest may stay where it is
    assert log_w[changed].min() > log_w[rest].max()
    assert found.log_w.max() <= log_w.max()
    order = log_w[changed].argsort()
    assert (found.log_w[changed][order].diff() >= 0).all()  # in their order


def test_figures_carry_the_raw_one():
    log_w = pareto(0.5, 5000, 4)
    a = torch.randn(5000, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = smooth_weights(log_w)
    for figure, raw in ((found.log_z(), log_z(log_w)), (found.mean(a), expectation(a, log_w))):
        assert (figure.raw, figure.error) == raw
        assert figure.k == found.k
        assert figure.smoothed != figure.raw
    assert found.ess().raw == ess(log_w)
    assert found.ess().smoothed == pytest.approx(ess(found.log_w))
    w = found.log_w.softmax(0)
    assert found.mean(a).smoothed == pytest.approx((w * a).sum().item())
    assert found.log_z().smoothed == pytest.approx(found.log_w.exp().mean().log().item())


@pytest.mark.parametrize("k", [0.5, 0.7])
def test_smoothing_takes_noise_out_of_a_heavy_tail(k):
    """log of the mean weight over 400 repeats of 1000: exact -log(1 - k)."""
    figures = [smooth_weights(pareto(k, 1000, seed)).log_z() for seed in range(400)]
    raw, smoothed = (torch.tensor([getattr(f, name) for f in figures]) for name in ("raw", "smoothed"))
    exact = -math.log(1 - k)
    assert (smoothed - exact).square().mean() < (raw - exact).square().mean()


def test_weights_without_a_tail_stay_as_they_are():
    for log_w, k in ((torch.zeros(500), -math.inf), (torch.arange(20.0), math.nan), (torch.full((50,), -math.inf), math.nan)):
        found = smooth_weights(log_w)
        assert torch.equal(found.log_w, log_w.double())
        assert found.k == k or math.isnan(found.k) == math.isnan(pareto_k(log_w)) == math.isnan(k)


def test_samples_without_weight_stay_without():
    log_w = pareto(0.5, 1000, 6)
    log_w[::2] = -math.inf
    found = smooth_weights(log_w)
    assert torch.isneginf(found.log_w[::2]).all()
    assert torch.isfinite(found.log_w[1::2]).all()
    a = torch.full((1000,), math.nan)
    a[1::2] = 2.0
    assert found.mean(a).smoothed == pytest.approx(2.0)
