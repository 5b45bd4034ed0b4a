"""Estimators of weighted samples against exact answers; error bars against the spread of many replicas."""

import math

import pytest
import torch

from lit_bg.estimators import ess, expectation, forward_ess, log_z, pareto_k, tail_share

# proposal N(0, 1); target exp(-u) with u = (x - m)^2 / (2 s^2), so Z = s sqrt(2 pi)
M, S = 0.4, 0.8
LOG_Z = math.log(S * math.sqrt(2 * math.pi))


def weighted(n, seed):
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    log_q = -0.5 * x**2 - 0.5 * math.log(2 * math.pi)
    return x, -((x - M) ** 2) / (2 * S**2) - log_q


def exact_kish():
    """<w>^2 / <w^2> under the proposal: a Gaussian integral."""
    a, b = 1 / S**2 - 0.5, M / S**2  # exponent of w^2 q: -a x^2 + 2 b x - M^2 / S^2, with factor sqrt(2 pi)
    second = math.sqrt(2 * math.pi) * math.sqrt(math.pi / a) * math.exp(b**2 / a - M**2 / S**2)
    return math.exp(2 * LOG_Z) / second


def z_scores(estimate, exact, replicas=400, n=500):
    pairs = [estimate(*weighted(n, seed)) for seed in range(replicas)]
    return torch.tensor([(value - exact) / error for value, error in pairs])


def calibrated(z):
    """Mean zero and unit variance within 4 sigma of what so many replicas can show."""
    n = len(z)
    return abs(z.mean()) < 4 / math.sqrt(n) and abs(z.var() - 1) < 4 * math.sqrt(2 / n)


def test_log_z_is_right_and_its_error_calibrated():
    assert calibrated(z_scores(lambda x, log_w: log_z(log_w), LOG_Z))


def test_expectation_is_right_and_its_error_calibrated():
    assert calibrated(z_scores(expectation, M))


def test_calibration_can_fail():
    assert not calibrated(z_scores(lambda x, log_w: log_z(log_w), LOG_Z + 0.02))
    assert not calibrated(1.5 * z_scores(expectation, M))


def test_ess_of_two_gaussians():
    _, log_w = weighted(200_000, 0)
    assert ess(log_w) == pytest.approx(exact_kish(), rel=0.01)


def test_forward_ess_agrees_with_the_reverse_where_all_is_covered():
    x = M + S * torch.randn(200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_w = -((x - M) ** 2) / (2 * S**2) + 0.5 * x**2 + 0.5 * math.log(2 * math.pi)
    assert forward_ess(log_w) == pytest.approx(exact_kish(), rel=0.01)


@pytest.mark.parametrize(("width", "edge"), [(0.7, 2.0), (0.7, 2.5), (0.8, 2.5)])
def test_the_error_of_an_event_in_the_tail_is_not_too_small(width, edge):
    """P(x > edge) of N(0, 1) from 2000 proposals of N(0, width^2), of which a handful hold the event or none does.

    Of 300 replicas at most the normal fractions, with 3 sigma of so many replicas, lie outside one and two errors, and 1 %
    outside four. With the sum over the weights alone 18 % to 69 % of the two rarer events lie outside four errors.
    """
    exact, outside = 0.5 * math.erfc(edge / math.sqrt(2)), []
    for seed in range(300):
        x = width * torch.randn(2000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        value, error = expectation((x > edge).double(), -(x**2) / 2 + (x / width) ** 2 / 2)
        outside.append(abs(value - exact) / error)
    z = torch.tensor(outside)
    for sigmas in (1, 2):
        p = math.erfc(sigmas / math.sqrt(2))
        assert (z > sigmas).double().mean() <= p + 3 * math.sqrt(p * (1 - p) / 300)
    assert (z > 4).double().mean() <= 0.01


def test_a_rare_event_proposed_often_is_known_well():
    """A barrier of probability 1e-6 that gets a tenth of the proposals: its error is near 1e-7, that of 100 equal weights."""
    inside = torch.arange(1000) < 100
    log_w = torch.where(inside, math.log(1e-6 / 0.1), math.log((1 - 1e-6) / 0.9)).double()
    value, error = expectation(inside.double(), log_w)
    assert value == pytest.approx(1e-6, rel=1e-6)
    assert 0.9e-7 < error < 2e-7


def test_forward_ess_sees_a_mode_the_proposal_missed():
    log_w = torch.cat([torch.zeros(900), torch.full((100,), 30.0)])  # a tenth of the target is never proposed
    assert forward_ess(log_w) < 1e-10
    assert ess(torch.zeros(900)) == 1.0


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_pareto_k_of_known_tails(k):
    """Weights U^-k have a tail of shape k; the fit to the 3 sqrt(N) largest scatters by about (1 + k) / sqrt(M)."""
    n = 100_000
    u = torch.rand(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tail = 3 * math.sqrt(n)
    assert pareto_k(-k * u.log()) == pytest.approx(k, abs=4 * (1 + k) / math.sqrt(tail))


def test_pareto_k_without_a_tail():
    assert pareto_k(torch.zeros(1000)) == -math.inf
    assert math.isnan(pareto_k(torch.zeros(10)))


def test_a_constant_shift_of_the_weights_moves_log_z_alone():
    x, log_w = weighted(1000, 5)
    shifted = log_w + 5000.0
    assert ess(shifted) == pytest.approx(ess(log_w))
    assert expectation(x, shifted) == pytest.approx(expectation(x, log_w))
    assert log_z(shifted)[0] == pytest.approx(log_z(log_w)[0] + 5000.0)


def test_zero_weights_count_as_samples():
    x, log_w = weighted(1000, 6)
    padded = torch.cat([log_w, torch.full((1000,), -torch.inf)])
    assert ess(padded) == pytest.approx(ess(log_w) / 2)
    assert log_z(padded)[0] == pytest.approx(log_z(log_w)[0] - math.log(2))
    values = torch.cat([x, torch.full((1000,), torch.nan)])
    assert expectation(values, padded) == pytest.approx(expectation(x, log_w))


def test_nothing_but_zero_weights():
    log_w = torch.full((10,), -torch.inf)
    assert ess(log_w) == 0
    assert log_z(log_w) == (-math.inf, math.inf)
    assert math.isnan(expectation(torch.zeros(10), log_w)[0])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_no_weights_are_refused(bad):
    with pytest.raises(ValueError, match="1 of 3 log weights are NaN or"):
        ess(torch.tensor([0.0, bad, 1.0]))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="non-empty vector"):
        log_z(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="one observable per weight"):
        expectation(torch.zeros(3), torch.zeros(2))


def test_double_precision_inside():
    log_w = torch.cat([torch.zeros(100_000), torch.full((100_000,), -1e-3)])  # float32 sums would lose this
    assert log_z(log_w)[0] == pytest.approx(math.log((1 + math.exp(-1e-3)) / 2), abs=1e-9)


def test_pareto_k_matches_arviz():
    from arviz_stats.base import array_stats

    log_w = -0.7 * torch.rand(5000, generator=torch.Generator().manual_seed(9), dtype=torch.float64).log()
    # it takes minus log weights, and rounds the size of the tail down
    assert pareto_k(log_w) == pytest.approx(float(array_stats.psislw(-log_w.numpy())[1]), abs=0.02)


def test_tail_share_is_the_weight_above_the_threshold():
    w = torch.ones(1000, dtype=torch.float64)
    w[:3] = torch.tensor([11.0, 6.0, 2.0])
    assert tail_share(w.log()) == pytest.approx((10 + 5 + 1) / w.sum().item())
    assert tail_share(w.log() - 800) == pytest.approx(tail_share(w.log()))  # log Z does not matter
