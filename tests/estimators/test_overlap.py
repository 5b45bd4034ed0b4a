"""Overlap of states, subsampling, and convergence in both directions."""

import logging
import math

import numpy as np
import pytest
import torch

from lit_bg.estimators import (
    both_directions,
    least_overlap,
    mbar,
    mean_with_error,
    next_to_diagonal,
    overlap_matrix,
    statistical_inefficiency,
    subsample,
    weakest_link,
)

CENTRES = torch.tensor([0.0, 1.0, 2.5, 3.0], dtype=torch.float64)


def springs(counts, seed=0):
    """Reduced energies (K, N) of unit springs about different centres."""
    rng = torch.Generator().manual_seed(seed)
    parts = [c + torch.randn(n, generator=rng, dtype=torch.float64) for c, n in zip(CENTRES, counts, strict=True)]
    return 0.5 * (torch.cat(parts) - CENTRES[:, None]) ** 2


@pytest.mark.parametrize("counts", [(500, 500, 500, 500), (900, 100, 40, 400), (300, 0, 300, 300)])
def test_the_matrix_is_that_of_pymbar(counts):
    pymbar = pytest.importorskip("pymbar")
    logging.disable(logging.WARNING)
    u, n = springs(counts), torch.tensor(counts)
    f = mbar(u, n)
    theirs = pymbar.MBAR(u.numpy(), n.numpy(), solver_protocol="robust").compute_overlap()["matrix"]
    logging.disable(logging.NOTSET)
    matrix = overlap_matrix(u, n, f)
    np.testing.assert_allclose(matrix.numpy(), theirs, atol=1e-8)
    torch.testing.assert_close(matrix.sum(1), torch.ones(4, dtype=torch.float64))


def test_equal_counts_are_what_the_integral_says():
    """From very unequal counts the matrix of equal ones, against the integral over densities."""
    counts = torch.tensor([20_000, 2000, 500, 8000])
    u = springs(counts.tolist())
    matrix = overlap_matrix(u, counts, mbar(u, counts), alike=True)
    x = torch.linspace(-8, 11, 8001, dtype=torch.float64)
    p = (-0.5 * (x - CENTRES[:, None]) ** 2).exp() / math.sqrt(2 * math.pi)
    exact = (p[:, None] * p / p.sum(0)).sum(-1) * (x[1] - x[0])
    assert (matrix - exact).abs().max() < 0.01
    assert torch.equal(matrix, matrix.T)
    assert (overlap_matrix(u, counts, mbar(u, counts)) - exact).abs().max() > 0.1


def test_a_state_without_density_somewhere():
    u = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, math.inf, 0.0]])
    n = torch.tensor([3, 1])
    f = mbar(u, n)
    assert torch.isfinite(f).all()
    matrix = overlap_matrix(u, n, f)
    assert torch.isfinite(matrix).all()
    torch.testing.assert_close(matrix.sum(1), torch.ones(2, dtype=torch.float64))


def test_where_states_are_barely_joined():
    matrix = torch.tensor([[0.6, 0.05, 0.35], [0.05, 0.93, 0.02], [0.35, 0.02, 0.63]])
    assert next_to_diagonal(matrix) == (pytest.approx(0.02), 1)
    assert weakest_link(matrix) == (pytest.approx(0.05), 0, 1)  # by way of the other
    assert weakest_link(torch.eye(2)) == (0.0, 0, 1)
    assert least_overlap(16) == 0.03
    assert least_overlap(25) == 0.02


def test_what_is_kept_is_independent():
    rho = 0.8
    noise = torch.randn(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, len(x)):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * noise[t]
    g = statistical_inefficiency(x)
    assert g == pytest.approx((1 + rho) / (1 - rho), rel=0.1)
    kept = subsample(len(x), g)
    assert abs(len(kept) - len(x) / g) <= 1
    assert statistical_inefficiency(x[kept]) < 1.5
    with pytest.raises(ValueError, match=r"at least 1, got 0 and 1.0"):
        subsample(0, 1.0)


def test_both_directions_see_a_drift():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(4000, generator=rng, dtype=torch.float64)
    drift = x + torch.linspace(1, 0, 4000).clamp_min(0.5)

    def of(series):
        return lambda start, stop: mean_with_error(series[round(start * 4000) : round(stop * 4000)])

    steady, drifting = both_directions(of(x)), both_directions(of(drift))
    assert steady.fraction.tolist() == pytest.approx([k / 10 for k in range(1, 11)])
    assert steady.forward[-1].tolist() == steady.backward[-1].tolist()
    assert steady.halves < 3
    assert drifting.halves > 5


def test_parts_that_are_too_small_leave_gaps():
    def estimate(start, stop):
        if stop - start < 0.35:
            raise ValueError("too few")
        return 1.0, 0.1

    c = both_directions(estimate)
    assert c.forward[:3, 0].isnan().all()
    assert c.backward[3:, 0].tolist() == [1.0] * 7
    with pytest.raises(ValueError, match="even and at least 2, got 5"):
        both_directions(estimate, 5)
