import math

import pytest
import torch
from scipy import stats

from lit_bg.estimators import Moves, density, geometric_w2, wasserstein


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_shift_is_the_distance_in_every_order():
    a = normal(500)
    for order in (1, 2):
        assert wasserstein(a, a, order=order) == 0
        assert wasserstein(a, a[:250], order=order) > 0
        assert wasserstein(a, a + 0.7, order=order) == pytest.approx(0.7)
        log_w = normal(500, seed=1)
        assert wasserstein(a, a - 0.7, log_w, log_w, order=order) == pytest.approx(0.7)


def test_gaussians():
    """W2 of N(0, 1) and N(m, s^2) is sqrt(m^2 + (s - 1)^2)."""
    t = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    x = torch.special.ndtri(t)
    assert wasserstein(x, 1 + 2 * x, order=2) == pytest.approx(math.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("n", [1, 7, 400])
def test_scipy_agrees(n):
    a, b, log_w, log_v = normal(n), 2 * normal(300, seed=1), normal(n, seed=2), 3 * normal(300, seed=3)
    log_v[5], b[5] = -torch.inf, torch.nan
    known = torch.isfinite(b)
    w, v = log_w.softmax(0), log_v.softmax(0)
    weighted = stats.wasserstein_distance(a, b[known], w, v[known])
    assert wasserstein(a, b, log_w, log_v) == pytest.approx(weighted)
    assert wasserstein(a, b[known], log_w) == pytest.approx(stats.wasserstein_distance(a, b[known], w))
    assert wasserstein(a, b[known]) == pytest.approx(stats.wasserstein_distance(a, b[known]))


def test_values_of_a_row_share_its_weight():
    a, b, log_w = normal(50, 4), normal(30, 2, seed=1), normal(50, seed=2)
    flat = wasserstein(a.flatten(), b.flatten(), log_w.repeat_interleave(4))
    assert wasserstein(a, b, log_w) == pytest.approx(flat)


def moved(x, mirror=False, exchange=True):
    """Every configuration by a rotation, an exchange and a shift of its own, in another order."""
    n, particles, d = x.shape
    turns = torch.linalg.qr(normal(n, d, d, seed=1))[0]
    turns[..., 0] *= (torch.linalg.det(turns) * (-1 if mirror else 1))[:, None]
    order = torch.stack([torch.randperm(particles, generator=torch.Generator().manual_seed(i)) for i in range(n)])
    y = x.gather(1, order[..., None].expand_as(x)) if exchange else x
    return (y @ turns.mT + normal(n, 1, d, seed=2)).flip(0)


def test_moves_that_the_energy_does_not_see_cost_nothing():
    x = normal(12, 5, 3)
    one_kind = torch.zeros(5, dtype=torch.long)
    everything = Moves(one_kind, translations=True, rotations=True)
    assert geometric_w2(x, moved(x), everything) == pytest.approx(0, abs=1e-6)
    assert geometric_w2(x, moved(x, exchange=False), everything._replace(types=None)) == pytest.approx(0, abs=1e-6)
    assert geometric_w2(x, moved(x), everything._replace(types=None)) > 1
    assert geometric_w2(x, moved(x, mirror=True), everything._replace(reflections=True)) == pytest.approx(0, abs=1e-6)
    assert geometric_w2(x, moved(x, mirror=True), everything) > 0.5
    assert geometric_w2(x, moved(x)) > 1


def test_transport_of_plain_vectors():
    x = normal(40, 3, 2)
    shift = torch.tensor([0.3, -0.4], dtype=torch.float64)
    assert geometric_w2(x, x.flip(0) + shift) == pytest.approx(0.5 * math.sqrt(3))
    assert geometric_w2(x, x + shift, Moves(translations=True)) == pytest.approx(0, abs=1e-6)
    on_a_line = normal(60), normal(60, seed=4)
    assert geometric_w2(*(a[:, None] for a in on_a_line)) == pytest.approx(wasserstein(*on_a_line, order=2))


def test_a_density_is_normalised_and_its_error_is_the_spread():
    edges = torch.linspace(0, 1, 6, dtype=torch.float64)
    runs = [density(normal(200, 3, seed=s).abs() % 1, None, edges) for s in range(60)]
    values, errors = (torch.stack(column) for column in zip(*runs, strict=True))
    torch.testing.assert_close((values * 0.2).sum(1), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(errors.mean(0), values.std(0), rtol=0.35, atol=0.0)
    log_w = torch.tensor([0.0, -torch.inf])
    got = density(torch.tensor([[0.1, 0.5], [math.nan, 0.5]]), log_w, edges)[0]
    torch.testing.assert_close(got, torch.tensor([2.5, 0, 2.5, 0, 0], dtype=torch.float64))


def test_refusals():
    a = normal(3)
    with pytest.raises(ValueError, match="1 or more, got 0"):
        wasserstein(a, a, order=0)
    with pytest.raises(ValueError, match="1 of 3 values"):
        wasserstein(torch.tensor([1.0, 2.0, math.nan]), a)
    with pytest.raises(ValueError, match="3 rows and 2 weights"):
        wasserstein(a, a, a[:2])
    with pytest.raises(ValueError, match="all weights are zero"):
        wasserstein(a, a, torch.full((3,), -torch.inf))
    with pytest.raises(ValueError, match="finite configurations"):
        geometric_w2(a[:0, None], a[:, None])
    with pytest.raises(ValueError, match="not all zero; got 2"):
        density(a[:, None], a[:2], torch.tensor([0.0, 1.0]))
