"""Bennett's acceptance ratio: pymbar's numbers, exact answers, and error bars that cover them."""

import logging
import math

import numpy as np
import pytest
import torch

from lit_bg.estimators import (
    bar,
    bar_overlap,
    bar_terms,
    forward_log_z,
    log_z,
    mbar,
    overlap_matrix,
    statistical_inefficiency,
    work_bounds,
)


@pytest.fixture(scope="module")
def pymbar():
    logging.disable(logging.WARNING)
    yield pytest.importorskip("pymbar")
    logging.disable(logging.NOTSET)


def gaussian_works(n_F, n_R, width, difference=3.0, seed=0):
    """Works whose distributions obey Crooks' theorem exactly: w_F ~ N(dF + s^2/2, s^2), w_R ~ N(-dF + s^2/2, s^2)."""
    rng = torch.Generator().manual_seed(seed)
    w_F = difference + 0.5 * width**2 + width * torch.randn(n_F, generator=rng, dtype=torch.float64)
    return w_F, -difference + 0.5 * width**2 + width * torch.randn(n_R, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize(
    ("n_F", "n_R", "width", "difference"),
    [
        (1000, 1000, 1.0, 3.0),
        (1000, 1000, 0.01, -2.0),
        (5000, 37, 2.0, 40.0),  # unequal counts
        (20, 3000, 3.0, -500.0),
        (400, 400, 6.0, 3.0),  # poor overlap
        (50, 80, 9.0, 1e4),
        (2, 2, 1.0, 0.5),
    ],
)
def test_value_and_error_are_those_of_pymbar(n_F, n_R, width, difference, pymbar):
    w_F, w_R = gaussian_works(n_F, n_R, width, difference)
    value, error = bar(w_F, w_R)
    theirs = pymbar.other_estimators.bar(w_F.numpy(), w_R.numpy(), relative_tolerance=1e-14, maximum_iterations=5000)
    assert abs(value - theirs["Delta_f"]) < 1e-8
    assert abs(error - theirs["dDelta_f"]) < 1e-8


def test_the_equation_holds_at_the_value():
    w_F, w_R = gaussian_works(300, 700, 3.0)
    M = math.log(300 / 700)
    value, _ = bar(w_F, w_R)
    assert torch.sigmoid(value - M - w_F).sum().item() == pytest.approx(torch.sigmoid(M - value - w_R).sum().item(), rel=1e-10)


def test_two_states_of_mbar_are_bar():
    w_F, w_R = gaussian_works(400, 900, 2.0)
    u = torch.stack([torch.cat([torch.zeros(400), w_R]), torch.cat([w_F, torch.zeros(900)])])
    counts = torch.tensor([400, 900])
    f = mbar(u, counts)
    value, _ = bar(w_F, w_R)
    assert f[1].item() == pytest.approx(value, abs=1e-8)
    even = overlap_matrix(u, counts, f, alike=True)
    assert even[0, 1].item() == pytest.approx(bar_overlap(w_F, w_R, value), abs=0.01)


def test_infinite_works_count_as_samples(pymbar):
    """A fifth of A lies where B has no density: all 1250 samples count, not only the 1000 that B visits."""
    w_F, w_R = gaussian_works(1000, 1000, 1.0)
    with_inf = torch.cat([w_F, torch.full((250,), math.inf, dtype=torch.float64)])
    value, error = bar(with_inf, w_R)
    far = pymbar.other_estimators.bar(torch.where(with_inf.isinf(), 600.0, with_inf).numpy(), w_R.numpy())
    assert value == pytest.approx(far["Delta_f"], abs=1e-8)
    assert error == pytest.approx(far["dDelta_f"], abs=1e-8)
    assert value - bar(w_F, w_R)[0] > 0.05
    u = torch.stack([torch.cat([torch.zeros(1250), w_R]), torch.cat([with_inf, torch.zeros(1000)])])
    assert mbar(u, torch.tensor([1250, 1000]))[1].item() == pytest.approx(value, abs=1e-8)


def test_a_box_inside_a_box_is_exact():
    """Uniform on [0, 1] and on [0, 1/2]: half of the forward works are infinite, the difference is ln 2."""
    rng = torch.Generator().manual_seed(0)
    inside = torch.rand(40_000, generator=rng) < 0.5
    w_F = torch.where(inside, 0.0, math.inf)  # the densities are 1 where they are not 0
    value, error = bar(w_F, torch.zeros(40_000))
    assert abs(value - math.log(2)) < 4 * error
    assert 0.5 * math.sqrt(1 / 40_000) < error < 2 * math.sqrt(1 / 40_000)  # of the fraction 1/2 alone it is 1/sqrt(n)


def test_shifts_and_directions():
    w_F, w_R = gaussian_works(300, 500, 2.0)
    value, error = bar(w_F, w_R)
    assert bar(w_F + 1e5, w_R - 1e5)[0] - 1e5 == pytest.approx(value, abs=1e-8)
    backward, same = bar(w_R, w_F)
    assert (backward, same) == (pytest.approx(-value, abs=1e-10), pytest.approx(error, abs=1e-10))


def z_scores(repeats, n_F, n_R, width):
    return torch.tensor(
        [
            (value - 3.0) / error
            for value, error in (bar(*gaussian_works(n_F, n_R, width, seed=seed)) for seed in range(repeats))
        ]
    )


def covers(z):
    """Within 3 sigma of so many repeats: 68.3 % and 95.4 %, and no bias of a tenth of the error bar and three of its own."""
    slack = 3 / math.sqrt(len(z))
    one, two = (z.abs() < 1).double().mean().item(), (z.abs() < 2).double().mean().item()
    return abs(one - 0.683) < 0.465 * slack and abs(two - 0.954) < 0.209 * slack and abs(z.mean().item()) < 0.1 + slack


def test_errors_cover():
    assert covers(z_scores(150, 300, 300, 2.0))


def test_coverage_can_fail():
    assert not covers(1.5 * z_scores(150, 300, 300, 2.0))


@pytest.mark.slow
@pytest.mark.parametrize(("n_F", "n_R", "width"), [(1000, 1000, 1.0), (1000, 100, 1.0), (200, 1000, 2.0), (2000, 2000, 3.0)])
def test_errors_cover_in_every_cell(n_F, n_R, width):
    assert covers(z_scores(800, n_F, n_R, width))


def test_one_sided_estimates_and_bounds_lie_about_the_difference():
    w_F, w_R = gaussian_works(20_000, 20_000, 1.0)
    _, error = bar(w_F, w_R)
    bounds = work_bounds(w_F, w_R)
    assert abs(bounds.upper - 3.5) < 4 * bounds.upper_error  # dF + s^2/2
    assert abs(bounds.lower - 2.5) < 4 * bounds.lower_error
    assert bounds.upper_error == pytest.approx(1 / math.sqrt(20_000), rel=0.05)
    assert bounds.gap == pytest.approx(1.0, abs=0.05)
    for one, sign in ((log_z(-w_F), -1), (forward_log_z(w_R), -1)):  # they are of log Z = -dF
        assert abs(sign * one[0] - 3.0) < 4 * one[1]
        assert one[1] > error


def test_a_work_that_is_infinite_leaves_no_bound():
    bounds = work_bounds(torch.tensor([1.0, math.inf]), torch.tensor([[0.0], [1.0]]))
    assert (bounds.upper, bounds.upper_error) == (math.inf, math.inf)
    assert bounds.lower == -0.5


def test_terms_show_the_correlation_of_the_works():
    """Every reverse work five times: five frames per independent frame."""
    w_F, w_R = gaussian_works(1000, 1000, 1.0)
    repeated = w_R.repeat_interleave(5)
    terms = bar_terms(w_F, repeated, bar(w_F, repeated)[0])
    assert 4 < statistical_inefficiency(terms[1]) < 6
    assert statistical_inefficiency(terms[0]) < 1.3


def test_overlap_falls_from_a_half_to_nothing():
    entries = []
    for width in (0.01, 1.0, 3.0, 8.0):
        works = gaussian_works(4000, 400, width)
        entries.append(bar_overlap(*works, bar(*works)[0]))
    assert entries == sorted(entries, reverse=True)
    assert entries[0] == pytest.approx(0.5, abs=0.01)
    assert entries[-1] < 0.001
    x = np.linspace(-15, 15, 20001)  # at width 3: w_F ~ N(4.5, 9), overlap = E[f(w_F)]
    exact = (np.exp(-0.5 * ((x - 4.5) / 3) ** 2) / (3 * math.sqrt(2 * math.pi)) / (1 + np.exp(x))).sum() * (x[1] - x[0])
    assert entries[2] == pytest.approx(exact, abs=0.02)


def test_one_work_has_no_error_bar():
    value, error = bar(torch.tensor([1.0]), torch.tensor([-1.0]))
    assert (value, error) == (1.0, math.inf)


@pytest.mark.parametrize(
    ("forward", "reverse", "words"),
    [
        (torch.zeros(0), torch.zeros(3), "forward works must be a non-empty vector"),
        (torch.zeros(3), torch.zeros(3, 1), "reverse works must be a non-empty vector"),
        (torch.tensor([0.0, math.nan]), torch.zeros(3), "1 of 2 forward works are NaN or -inf"),
        (torch.zeros(3), torch.tensor([0.0, -math.inf]), "1 of 2 reverse works are NaN or -inf"),
        (torch.full((3,), math.inf), torch.zeros(3), "none of 3 forward works is finite: the states do not overlap"),
    ],
)
def test_refusals(forward, reverse, words):
    with pytest.raises(ValueError, match=words):
        bar(forward, reverse)
