"""Error bars of importance sampling cover the truth as often as they should, or say that there is none."""

import math

import pytest
import torch
from error_bar_coverage import CELLS, Cell, cover
from ladder_coverage import LADDERS, Exchange
from series_coverage import SERIES

from lit_bg.estimators import effective_in, ess_is_known, expectation, ladder_populations, log_z, profile, tail, upper_limit
from lit_bg.estimators.importance import resolves_averages
from lit_bg.estimators.standard_error import unseen_mass

LIMITS = {"0.6": (0.6, 1.0, 0.85), "0.7": (0.6, 1.0, 0.85)}  # of infinite variance: at least 60 and 85 %
HARD = {("Pareto k = 0.7", 1000): {"log Z", "bin of a profile"}}  # 52 / 71 and 53 / 88 %, of the half that has a bar


def wrong(cell, repeats, sigmas):
    """Quantities with a bar in most repeats that covers outside 60 to 76 % and at least 90 %, by so many sigmas."""
    found = {}
    least, most, twice = LIMITS.get(cell.name.rpartition(" ")[2], (0.6, 0.76, 0.9))
    for name, row in cover(cell, repeats).items():
        if row.dashes > 0.5 or name in HARD.get((cell.name, cell.n), ()):
            continue
        slack = sigmas * math.sqrt(0.22 / row.bars), sigmas * math.sqrt(0.09 / row.bars)
        if not (least - slack[0] < row.one < most + slack[0] and row.two > twice - slack[1]):
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


def off(coverage, repeats):
    """Numbers whose errors cover outside 60 to 76 % and at least 90 %, by 3 sigma."""
    slack = 3 * math.sqrt(0.22 / repeats), 3 * math.sqrt(0.09 / repeats)
    return {n: c for n, c in coverage.items() if not (0.6 - slack[0] < c[0] < 0.76 + slack[0] and c[1] > 0.9 - slack[1])}


def test_errors_of_ladders_cover(monkeypatch):
    seen = Exchange(0.05, 100, 8)
    assert not off(seen.coverage(60), 60)
    monkeypatch.setattr("ladder_coverage.ladder_populations", lambda *a: (lambda p, c: (p, c / 9))(*ladder_populations(*a)))
    assert off(seen.coverage(60), 60)  # errors of a third are found out


@pytest.mark.slow
@pytest.mark.parametrize("ladder", LADDERS, ids=lambda e: f"p = {e.p}, {e.frames} frames of {e.ladders} ladders")
def test_errors_of_ladders_cover_in_every_cell(ladder):
    """1000 repeats; in 50 frames of few ladders two errors of a probability cover 82 % at least (docs/verdict.md)."""
    coverage = ladder.coverage(1000)
    if ladder.frames == 50:
        one, two, none = coverage["P"]
        coverage["P"] = (one, two + 0.1, none)
    assert not off(coverage, 1000)


def test_few_effective_samples_of_a_poor_proposal_tell_no_average():
    """Lognormal weights of ESS 0.05: a thousand samples have no error bars of averages, ten thousand have."""
    rng = torch.Generator().manual_seed(0)
    s = math.sqrt(-math.log(0.05))
    for n, resolved in ((1000, False), (10_000, True)):
        y, z = torch.randn(2, n, generator=rng, dtype=torch.float64)
        log_w = s * z
        assert resolves_averages(log_w.softmax(0)) == resolved
        assert math.isfinite(expectation((y > 0).double(), log_w)[1]) == resolved
        edges = torch.linspace(-1, 1, 3, dtype=torch.float64)
        assert bool(torch.isfinite(profile(y, log_w, edges)[1]).all()) == resolved


@pytest.mark.parametrize("n", [20, 60, 300])
def test_few_samples_of_a_good_proposal_tell_averages(n):
    rng = torch.Generator().manual_seed(0)
    y, z = torch.randn(2, n, generator=rng, dtype=torch.float64)
    assert math.isfinite(expectation(y, 0.2 * z)[1])


def test_the_weights_of_few_are_more_unequal_than_they_look():
    """Thirty of a thousand, ESS 0.05: they claim more than five effective samples, and would have an error bar."""
    rng = torch.Generator().manual_seed(0)
    s, bars, claims = math.sqrt(-math.log(0.05)), 0, 0
    for _ in range(100):
        log_w = s * torch.randn(10_000, generator=rng, dtype=torch.float64)
        rare = (torch.arange(10_000) < 20).double()
        claims += effective_in(rare, log_w) >= 5
        bars += math.isfinite(expectation(rare, log_w)[1])
    assert claims > 30
    assert bars <= 3
    clean = torch.where(torch.arange(10_000) < 20, 0.0, log_w)  # equal weights in the event know themselves
    assert math.isfinite(expectation(rare, clean)[1])


@pytest.mark.parametrize(("k", "lowest", "highest"), [(0.3, 0.0, 0.01), (0.65, 0.005, 0.2)])
def test_mass_that_a_heavy_tail_has_not_shown(k, lowest, highest):
    """Of w = u^-k, u uniform, the part with u < 1 / n is missing: n^(k - 1) of the mean."""
    rng = torch.Generator().manual_seed(0)
    n = 10_000
    missing = [unseen_mass((-k * torch.rand(n, generator=rng, dtype=torch.float64).log()).softmax(0)) for _ in range(20)]
    middle = sorted(missing)[10]
    assert lowest <= middle <= highest
    if k > 0.5:
        assert 0.3 < middle / n ** (k - 1) < 3


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
