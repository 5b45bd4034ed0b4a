"""Errors by resampling, of independent samples and of groups."""

import math

import pytest
import torch

from lit_bg.estimators import bootstrap, bootstrap_error, group_frames, mean_with_error


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_error_of_a_mean():
    x = torch.randn(400, generator=rng(), dtype=torch.float64)
    error = bootstrap_error(bootstrap(lambda x: x.mean(), (x,), 2000, rng(1)))
    assert error.item() == pytest.approx(x.std(unbiased=False).item() / 20, rel=5 / math.sqrt(2 * 2000))


def test_sets_are_drawn_apart():
    """Of a difference of two means the variances add up; each set keeps its size."""
    x, y = torch.randn(100, generator=rng(), dtype=torch.float64), 3 * torch.randn(300, generator=rng(2), dtype=torch.float64)

    def difference(x, y):
        assert (len(x), len(y)) == (100, 300)
        return torch.stack([y.mean() - x.mean(), x.mean()])

    error = bootstrap_error(bootstrap(difference, (x, y), 2000, rng(1)))
    expected = math.hypot(x.std(unbiased=False).item() / 10, y.std(unbiased=False).item() / math.sqrt(300))
    assert error[0].item() == pytest.approx(expected, rel=0.08)
    assert error[1].item() == pytest.approx(x.std(unbiased=False).item() / 10, rel=0.08)


def test_groups_stay_together():
    x = torch.arange(12)
    group = torch.tensor([0, 0, 0, 7, 7, 7, 3, 3, 3, 5, 5, 5])

    def check(y):
        assert len(y) == 12
        assert all(group[y[k : k + 3]].unique().numel() == 1 and y[k + 1] == y[k] + 1 for k in range(0, 12, 3))
        return 0.0

    bootstrap(check, (x,), 50, rng(), groups=(group,))


def test_correlated_frames_need_groups():
    """An autoregressive series whose mean has an error four times that of independent frames."""
    rho, n = 0.88, 20_000
    noise = torch.randn(n, generator=rng(), dtype=torch.float64)
    x = torch.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, n):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * noise[t]
    exact = math.sqrt((1 + rho) / (1 - rho) / n)
    groups = group_frames(n, 1, least=50).flatten()
    grouped = bootstrap_error(bootstrap(lambda x: x.mean(), (x,), 500, rng(1), (groups,)), 50).item()
    plain = bootstrap_error(bootstrap(lambda x: x.mean(), (x,), 500, rng(1))).item()
    assert plain == pytest.approx(exact / math.sqrt((1 + rho) / (1 - rho)), rel=0.15)
    assert grouped == pytest.approx(exact, rel=4 / math.sqrt(2 * 49))
    assert grouped == pytest.approx(mean_with_error(x)[1], rel=4 / math.sqrt(2 * 49))


def test_groups_of_frames():
    assert group_frames(3, 16).tolist() == [list(range(16))] * 3  # walkers are enough
    few = group_frames(100, 3)
    assert few.shape == (100, 3)
    assert len(few.unique()) == 66
    assert (few[:5] == torch.arange(3)).all()
    assert len(group_frames(4, 1).unique()) == 4  # fewer frames than groups


def test_refusals():
    with pytest.raises(ValueError, match="at least 2 repeats, got 1"):
        bootstrap(lambda x: x.mean(), (torch.zeros(3),), 1, rng())
    with pytest.raises(ValueError, match="one set of groups per set"):
        bootstrap(lambda x: x.mean(), (torch.zeros(3),), 2, rng(), (None, None))
    with pytest.raises(ValueError, match=r"got 3 samples and groups \(2,\)"):
        bootstrap(lambda x: x.mean(), (torch.zeros(3),), 2, rng(), (torch.zeros(2),))
    with pytest.raises(ValueError, match="got 0 samples and no groups"):
        bootstrap(lambda x: x.mean(), (torch.zeros(0),), 2, rng())
