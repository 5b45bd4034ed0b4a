"""Error bars of importance sampling cover the truth as often as they should, or say that there is none."""

import math

import pytest
import torch
from error_bar_coverage import CELLS, Cell, cover
from series_coverage import SERIES

from lit_bg.estimators import effective_in, ess_is_known, expectation, log_z, tail, upper_limit

HARD = {  # by how little the variance can be seen at ESS 0.05: an error bar there is a guess, and mostly a dash
    ("ESS 0.05", 1000): {"<y^2>", "<z>", "<z^2>", "P = 0.03", "P = 0.002", "bin of a profile", "P(z high) = 0.03"},
    ("ESS 0.05", 10_000): {"<z^2>"},
}


def wrong(cell, repeats, sigmas):
    """Quantities with a bar in most repeats that covers outside 60 to 76 % and at least 90 %, by so many sigmas."""
    found = {}
    for name, row in cover(cell, repeats).items():
        if row.dashes > 0.5 or name in HARD.get((cell.name, cell.n), ()):
            continue
        slack = sigmas * math.sqrt(0.22 / row.bars), sigmas * math.sqrt(0.09 / row.bars)
        if not (0.6 - slack[0] < row.one < 0.76 + slack[0] and row.two > 0.9 - slack[1]):
            found[name] = row
    return found


@pytest.mark.parametrize(
    "cell", [Cell("ESS 0.3", 1000, s=math.sqrt(-math.log(0.3))), Cell("Pareto k = 0.35", 1000, k=0.35)], ids=lambda c: c.name
)
def test_errors_cover(cell):
    """100 repeats; within 3 sigma of so many."""
    assert not wrong(cell, 100, 3)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: f"{c.name}, n = {c.n}")
def test_errors_cover_in_every_cell(cell):
    """1000 repeats; within 3 sigma of so many."""
    assert not wrong(cell, 1000, 3)


def test_coverage_can_fail(monkeypatch):
    """Errors of half the size are found out."""
    monkeypatch.setattr("error_bar_coverage.expectation", lambda a, log_w: (lambda v, e: (v, e / 2))(*expectation(a, log_w)))
    assert {"<y>", "P = 0.5"} <= wrong(Cell("Pareto k = 0.2", 1000, k=0.2), 100, 3).keys()


def test_a_square_whose_tail_is_too_heavy_has_no_error_bar():
    """Student t with 3 degrees of freedom from a Gaussian: <x^2> is 3, what is seen is 2.2; k-hat is 0.8."""
    target, dashes = torch.distributions.StudentT(torch.tensor(3.0, dtype=torch.float64)), 0
    rng = torch.Generator().manual_seed(1)
    for _ in range(20):
        x = 1.7 * torch.randn(100_000, generator=rng, dtype=torch.float64)
        dashes += math.isinf(expectation(x**2, target.log_prob(x) + 0.5 * (x / 1.7) ** 2)[1])
    assert dashes >= 15


def test_weights_without_a_mean_have_no_error_bar():
    rng = torch.Generator().manual_seed(0)
    found = [log_z(-1.2 * torch.rand(10_000, generator=rng, dtype=torch.float64).log())[1] for _ in range(50)]
    assert sum(map(math.isinf, found)) >= 45


def named(series):
    return f"{series.name}, {series.frames} frames of {series.walkers} walkers, time {series.time}"


@pytest.mark.parametrize("series", [s for s in SERIES if s.frames == 200 and s.time == 2.0], ids=named)
def test_errors_of_series_cover(series):
    """200 repeats; within 3 sigma of 60 to 76 % and at least 90 %."""
    one, two, _ = series.coverage(200)
    assert 0.6 - 3 * 0.033 < one < 0.76 + 3 * 0.033
    assert two > 0.9 - 3 * 0.021


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES, ids=named)
def test_errors_of_series_cover_in_every_cell(series):
    one, two, _ = series.coverage(1000)
    assert 0.6 - 3 * 0.015 < one < 0.76 + 3 * 0.015
    assert two > 0.9 - 3 * 0.0095


@pytest.mark.parametrize("k", [0.2, 0.5, 0.8, 1.1])
def test_k_hat_of_a_pareto_tail(k):
    """n = 20000: the standard error of one estimate is about 0.08, the mean of ten within 4 of its own."""
    rng = torch.Generator().manual_seed(0)
    found = [tail(-k * torch.rand(20_000, generator=rng, dtype=torch.float64).log()) for _ in range(10)]
    mean = sum(t.k for t in found) / 10
    assert abs(mean - k) < 4 * found[0].error / 10**0.5 + 0.05 if math.isfinite(found[0].error) else mean > 0.7


@pytest.mark.parametrize("share", [0.005, 0.01, 0.05])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("n", [300, 2000, 20_000])
def test_clusters_of_bounded_weights_are_no_heavy_tail(share, spread, n):
    rng = torch.Generator().manual_seed(0)
    inside = torch.rand(n, generator=rng) < share
    log_w = torch.where(inside, math.log(6.6), 0.0) + spread * torch.randn(n, generator=rng).clamp(-2, 2)
    found = tail(log_w)
    assert found.k < 0.7 or math.isinf(found.error)


def test_limits_and_effective_samples_of_events():
    inside, log_w = torch.zeros(3000), torch.zeros(3000)
    assert upper_limit(inside, log_w) == pytest.approx(1e-3)
    assert effective_in(inside, log_w) == 0
    inside[:30] = 1.0
    assert effective_in(inside, log_w) == pytest.approx(30)
    assert math.isfinite(expectation(inside, log_w)[1])
    inside[4:] = 0.0
    assert math.isinf(expectation(inside, log_w)[1])
    assert [ess_is_known(e, 1000) for e in (0.3, 0.4)] == [False, True]
