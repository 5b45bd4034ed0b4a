import math

import pytest
import torch

from lit_bg.estimators import effective_count, profile

EDGES = torch.linspace(-2.5, 2.5, 11, dtype=torch.float64)


def exact(edges):
    p = torch.special.ndtr(edges[1:]) - torch.special.ndtr(edges[:-1])
    return -torch.log(p / edges.diff())


def weighted(n, seed):
    """N(0, 1) from the proposal N(0.5, 1.5^2)."""
    x = 0.5 + 1.5 * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, -0.5 * x**2 + 0.5 * ((x - 0.5) / 1.5) ** 2 + 3.0


@pytest.mark.parametrize("reweighted", [False, True])
def test_profile_and_its_errors(reweighted):
    """300 replicas: bias below 0.3 of an error, z of unit variance within 4 sigma."""
    scores = []
    for seed in range(300):
        if reweighted:
            x, log_w = weighted(4000, seed)
        else:
            x, log_w = torch.randn(4000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), None
        f, error = profile(x, log_w, EDGES)
        scores.append((f - exact(EDGES)) / error)
    z = torch.stack(scores)
    assert (z.mean(0).abs() < 0.3).all()
    assert ((z.var(0) - 1).abs() < 4 * math.sqrt(2 / 300)).all()


def test_empty_bins_are_nan_and_outside_counts_in_the_norm():
    f, error = profile(torch.tensor([0.5, 0.5, 7.0, -7.0]), None, torch.tensor([0.0, 1.0, 2.0]))
    assert f[0].item() == pytest.approx(math.log(2))
    assert f[1].isnan()
    assert error[1].isnan()


def test_periodic_values_are_wrapped():
    edges = torch.linspace(-math.pi, math.pi, 13, dtype=torch.float64)
    a = 6 * torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    f, _ = profile(a, None, edges, periodic=True)
    wrapped, _ = profile(torch.atan2(a.sin(), a.cos()), None, edges)
    torch.testing.assert_close(f, wrapped)
    assert (torch.exp(-f) * edges.diff()).sum().item() == pytest.approx(1)


def test_a_shift_of_the_weights_changes_nothing():
    x, log_w = weighted(1000, 0)
    torch.testing.assert_close(profile(x, log_w, EDGES), profile(x, log_w - 4000, EDGES), equal_nan=True)


def test_effective_count():
    a = torch.tensor([0.5, 0.5, 0.5, 1.5])
    log_w = torch.tensor([0.0, 0.0, -torch.inf, 5.0])
    assert effective_count(a, log_w, torch.tensor([0.0, 1.0, 2.0, 3.0])).tolist() == [2.0, 1.0, 0.0]
    assert effective_count(a, None, torch.tensor([0.0, 1.0, 2.0, 3.0])).tolist() == pytest.approx([3.0, 1.0, 0.0])


def test_bad_input_is_refused():
    a = torch.zeros(3)
    with pytest.raises(ValueError, match="edges must increase"):
        profile(a, None, torch.tensor([0.0, 0.0]))
    with pytest.raises(ValueError, match="one value per weight"):
        profile(a, torch.zeros(2), torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="all weights are zero"):
        profile(a, torch.full((3,), -torch.inf), torch.tensor([0.0, 1.0]))
