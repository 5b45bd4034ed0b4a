"""Resampling: unbiased counts, no copy of what has no weight, and what each method promises beyond."""

import math

import pytest
import torch

from lit_bg.estimators import multinomial, resample, systematic
from lit_bg.estimators.resampling import choose_distinct

METHODS = ("systematic", "stratified", "multinomial")


def _counts(log_w, n, method, repeats, seed=0):
    """(repeats, N) copies of every sample."""
    index = resample(log_w.expand(repeats, -1), n, torch.Generator().manual_seed(seed), method)
    return torch.zeros(repeats, log_w.shape[-1], dtype=torch.float64).scatter_add_(1, index, torch.ones(index.shape).double())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 7, 100])
def test_copies_are_unbiased(method, n):
    log_w = 2 * torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_w[[0, 17, 39]] = -math.inf
    repeats = 40_000
    counts = _counts(log_w, n, method, repeats)
    expected = n * log_w.softmax(0)
    assert (counts.sum(1) == n).all()
    assert (counts[:, [0, 17, 39]] == 0).all()
    # the variance of independent draws bounds that of the others at these weights; 4.5 sigma of 40 counts
    sigma = (expected * (1 - expected / n) / repeats).sqrt()
    assert ((counts.mean(0) - expected).abs() <= 4.5 * sigma + 1e-12).all()


@pytest.mark.parametrize("n", [5, 64, 1000])
def test_systematic_copies_are_rounded_down_or_up(n):
    log_w = torch.randn(64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = n * log_w.softmax(0)
    counts = _counts(log_w, n, "systematic", 2000)
    assert (counts >= (expected - 1e-9).floor()).all()
    assert (counts <= (expected + 1e-9).ceil()).all()


def test_stratified_copies_scatter_less_than_independent_ones():
    log_w = torch.randn(64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    independent = _counts(log_w, 64, "multinomial", 4000).var(0).sum()
    assert _counts(log_w, 64, "stratified", 4000).var(0).sum() < 0.5 * independent
    assert _counts(log_w, 64, "systematic", 4000).var(0).sum() < 0.5 * independent
    w = log_w.softmax(0)
    assert independent.item() == pytest.approx((64 * w * (1 - w)).sum().item(), rel=0.05)


def test_equal_weights_come_back_each_once():
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        assert torch.equal(systematic(torch.full((1000,), -3e4), rng), torch.arange(1000))


@pytest.mark.parametrize("method", METHODS)
def test_populations_are_resampled_on_their_own(method):
    log_w = torch.randn(3, 50, generator=torch.Generator().manual_seed(3))
    log_w[1] += 500.0  # absolute weights of populations are never compared
    index = resample(log_w, 20_000, torch.Generator().manual_seed(4), method)
    assert index.shape == (3, 20_000)
    for row, w in zip(index, log_w.softmax(1).double(), strict=True):
        share = torch.bincount(row, minlength=50) / 20_000
        assert ((share - w).abs() <= 4.5 * (w * (1 - w) / 20_000).sqrt()).all()


def test_the_average_of_copies_is_the_reweighted_one():
    rng = torch.Generator().manual_seed(5)
    x = torch.randn(20_000, generator=rng, dtype=torch.float64).sort().values  # neighbours are alike
    log_w = 0.5 * x  # tilts the mean from 0 to 0.5
    mean = x[systematic(log_w, rng)].mean().item()
    assert mean == pytest.approx((log_w.softmax(0) * x).sum().item(), abs=1e-3)
    assert x[multinomial(log_w, rng)].mean().item() == pytest.approx(0.5, abs=4 * 1.5 / math.sqrt(20_000))


def test_same_stream_same_copies_and_single_precision_weights():
    log_w = torch.randn(30)
    a, b = (systematic(log_w, torch.Generator().manual_seed(6)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.dtype == torch.long
    assert a.shape == (30,)


def test_a_last_sample_without_weight_is_never_drawn():
    log_w = torch.tensor([0.0, -math.inf])
    assert (resample(log_w, 100_000, torch.Generator().manual_seed(0)) == 0).all()


@pytest.mark.parametrize(
    ("log_w", "n", "message"),
    [
        (torch.full((4,), -math.inf), 4, "nothing to resample"),
        (torch.tensor([[0.0, 0.0], [-math.inf, -math.inf]]), 2, "population 1"),
        (torch.tensor([0.0, math.nan]), 2, "NaN"),
        (torch.zeros(4), 0, "n=0"),
        (torch.zeros(0), 3, "non-empty"),
    ],
)
def test_what_cannot_be_resampled_is_refused(log_w, n, message):
    with pytest.raises(ValueError, match=message):
        resample(log_w, n, torch.Generator().manual_seed(0))


def test_distinct_samples_come_in_the_order_of_successive_draws():
    w = torch.tensor([0.6, 0.3, 0.1, 0.0], dtype=torch.float64)
    rng, n = torch.Generator().manual_seed(4), 5_000
    counts = torch.zeros(4, 4, dtype=torch.float64)
    for _ in range(n):
        i, j = choose_distinct(w.log(), 2, rng).tolist()
        counts[i, j] += 1 / n
    for i in range(3):
        for j in range(3):
            p = 0.0 if i == j else (w[i] * w[j] / (1 - w[i])).item()
            assert abs(counts[i, j].item() - p) <= 4 * (p * (1 - p) / n) ** 0.5
    assert counts[3].sum() == counts[:, 3].sum() == 0


def test_distinct_samples_are_filled_up_with_copies_where_there_are_too_few():
    found = choose_distinct(torch.tensor([-3.0, -math.inf, 2.0]), 6, torch.Generator().manual_seed(0))
    assert len(found) == 6
    assert sorted(found[:2].tolist()) == [0, 2]
    assert 1 not in found
