import pytest
import torch

from lit_bg.energies.rejection_grid import RejectionGrid


def test_a_coarse_grid_is_as_exact_as_a_fine_one():
    """Cells of half a standard deviation: the second and fourth moments are within 4 sigma of 1 and 3."""
    grid = RejectionGrid(lambda x: (x**2).sum(-1) / 2, (0.0, 0.0), 7.0, points=28)
    x = grid.sample(100_000, torch.Generator().manual_seed(0)).flatten()
    for power, moment in ((2, 1), (4, 3)):
        a = x**power
        assert abs(a.mean() - moment) < 4 * a.std() / len(a) ** 0.5


def test_a_bound_that_fails_is_noticed():
    grid = RejectionGrid(lambda x: (x**2).sum(-1) / 2 - 3 * torch.exp(-100 * x**2).sum(-1), (0.1, 0.1), 7.0, points=14)
    with pytest.raises(RuntimeError, match="use more points"):
        grid.sample(20_000, torch.Generator().manual_seed(0))
