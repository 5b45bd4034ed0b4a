"""Basins of an angle: as many as the barriers part, none from noise, and none cut by the end of the circle."""

import math

import pytest
import torch

from lit_bg.estimators import circular_basins


def draw(potential, n, seed=0):
    """Exact samples of exp(-potential) on the circle, by inverting its distribution function on a grid."""
    grid = torch.linspace(-math.pi, math.pi, 3601, dtype=torch.float64)[:-1]
    p = torch.softmax(-potential(grid), 0)
    r = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return grid[torch.searchsorted(p.cumsum(0), r).clamp_max(3599)]


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0, 3.0, -3.1])
def test_a_threefold_barrier_parts_three_basins_wherever_the_circle_begins(shift):
    """U = 2 cos 3 phi has its barriers at 0 and +-120 degrees, 4 kT high."""
    a = draw(lambda phi: 2 * torch.cos(3 * (phi - shift)), 30_000)
    borders = torch.tensor(circular_basins(a, len(a)))
    exact = torch.remainder(shift + torch.tensor([0.0, 2.0, 4.0]) * math.pi / 3 + math.pi, 2 * math.pi) - math.pi
    away = torch.remainder(borders[:, None] - exact + math.pi, 2 * math.pi) - math.pi
    assert borders.tolist() == sorted(borders.tolist())
    assert (away.abs().amin(0) < 0.15).all()
    assert len(borders) == 3


@pytest.mark.parametrize(("height", "basins"), [(0.3, 0), (0.8, 2)])
def test_the_barrier_counts_and_not_the_population(height, basins):
    """A twofold barrier of 0.6 and of 1.6 kT."""
    a = draw(lambda phi: height * torch.cos(2 * phi), 200_000)
    assert len(circular_basins(a, len(a))) == basins
    assert len(circular_basins(a, len(a), barrier=0.3)) == 2


def test_a_rare_basin_needs_independent_frames():
    """One in two hundred in a second basin: found in 20 000 frames, and not where those are worth only 200."""
    a = draw(lambda phi: 10 * (1 - torch.cos(phi + 1.5)), 20_000)
    a[::200] = 1.2 + 0.1 * torch.randn(100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    borders = circular_basins(a, 20_000)
    assert len(borders) == 2
    assert ((a > borders[0]) & (a < borders[1])).sum() == 100
    assert circular_basins(a, 200) == []


def test_noise_has_no_basins():
    for n in (1, 10, 100, 10_000):
        a = 2 * math.pi * torch.rand(n, generator=torch.Generator().manual_seed(n)) - math.pi
        assert circular_basins(a, n) == []


def test_what_is_no_angle_is_refused():
    with pytest.raises(ValueError, match="1 are not"):
        circular_basins(torch.tensor([0.0, math.nan]), 2)
