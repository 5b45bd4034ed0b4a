"""Repeated and correlated proposals are noticed, and independent ones are not accused."""

import math

import pytest
import torch

from lit_bg.diagnostics.independence import EffectiveDraws, find_repeats, serial_inefficiency


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "d"), [(300, 2), (20_000, 2), (200_000, 3), (20_000, 66)])
def test_independent_draws_are_distinct_and_uncorrelated(n, d):
    x = normal(n, d)
    assert not find_repeats(x).any()
    assert serial_inefficiency(x, x.square().sum(1)) == 1.0


@pytest.mark.parametrize("d", [1, 2, 20])
def test_copies_are_counted_in_any_order(d):
    x = normal(500, d).repeat(20, 1)[torch.randperm(10_000, generator=torch.Generator().manual_seed(1))]
    assert find_repeats(x).sum() == pytest.approx(9500, abs=2)


def test_copies_with_a_little_noise_are_copies_in_many_dimensions():
    x = normal(500, 20).repeat(4, 1) + 1e-5 * normal(2000, 20, 1)
    assert find_repeats(x).sum() == 1500


def test_chance_makes_a_few_copies_of_one_coordinate_in_float32():
    assert 0 < find_repeats(normal(200_000, 1)).sum() < 2000


def test_a_chain_is_worth_fewer_draws():
    """An autoregressive series of rho = 0.9 has g = 19; its estimate scatters by about a tenth."""
    noise = normal(20_000, 2)
    x = [noise[0]]
    for step in noise[1:]:
        x.append(0.9 * x[-1] + math.sqrt(1 - 0.81) * step)
    assert serial_inefficiency(torch.stack(x)) == pytest.approx(19, rel=0.3)


def test_draws_that_avoid_each_other_are_no_fault():
    x = normal(5000, 2)
    assert serial_inefficiency(torch.stack([x, -x], 1).reshape(-1, 2)) == 1.0


def test_ties_are_no_correlation():
    x = (normal(5000, 3) > 1).float()
    assert serial_inefficiency(x) == 1.0


def test_what_is_left():
    assert EffectiveDraws(1000, 800, 4.0).left == 200
