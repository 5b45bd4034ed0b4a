"""Laws of pairings: both ends keep their samples, and paths become shorter."""

import inspect
import itertools

import pytest
import torch

from lit_bg import pairings
from lit_bg.pairings import Independent, MinibatchOT

MAKE = {"Independent": Independent, "MinibatchOT": lambda: MinibatchOT(block=6)}


def draw(shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64), 1 + torch.randn(shape, generator=rng, dtype=torch.float64)


def test_every_exported_pairing_is_under_law():
    classes = [getattr(pairings, name) for name in pairings.__all__]
    assert {c.__name__ for c in classes if not inspect.isabstract(c)} == set(MAKE)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("shape", [(20, 3), (17, 4, 2)])
def test_both_ends_keep_their_samples_and_paths_do_not_get_longer(make, shape):
    x0, x1 = draw(shape)
    a, b = make()(x0, x1)
    for before, after in ((x0, a), (x1, b)):
        torch.testing.assert_close(before.flatten(1).sort(0).values, after.flatten(1).sort(0).values)
        rows = {tuple(r) for r in after.flatten(1).tolist()}
        assert rows == {tuple(r) for r in before.flatten(1).tolist()}
    assert (a - b).square().sum() <= (x0 - x1).square().sum() + 1e-9


def test_the_assignment_is_the_best_of_all():
    x0, x1 = draw((6, 2))
    a, b = MinibatchOT(block=6)(x0, x1)
    best = min((x0 - x1[list(order)]).square().sum().item() for order in itertools.permutations(range(6)))
    assert (a - b).square().sum().item() == pytest.approx(best)


def test_a_block_of_one_is_refused():
    with pytest.raises(ValueError, match="block=1"):
        MinibatchOT(block=1)
