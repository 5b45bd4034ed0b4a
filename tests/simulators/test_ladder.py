import itertools
import math

import pytest
import torch

from lit_bg.simulators.ladder import equal_acceptance, expected_acceptance, with_rungs_at


def test_harmonic_motion_needs_a_geometric_ladder():
    ladder = equal_acceptance(1.0, 5.0, lambda kT: 30 * kT, rungs=6)
    ratios = [b / a for a, b in itertools.pairwise(ladder)]
    assert ratios == pytest.approx([5 ** (1 / 5)] * 5, rel=1e-6)


@pytest.mark.parametrize("mean", [lambda kT: 30 * kT, lambda kT: 20 * kT + 40 / (1 + math.exp(-(kT - 2) / 0.1))])
@pytest.mark.parametrize("rungs", [None, 2, 5, 12, 40])
def test_neighbours_accept_equally(mean, rungs):
    """Also across a heat-capacity peak, where rungs crowd."""
    ladder = equal_acceptance(1.0, 4.0, mean, rungs)
    assert ladder[0] == 1.0
    assert ladder[-1] == 4.0
    assert ladder == sorted(ladder)
    a = [expected_acceptance(1 / s, mean(s), 1 / t, mean(t)) for s, t in itertools.pairwise(ladder)]
    assert a == pytest.approx([a[0]] * len(a), rel=1e-4, abs=1e-9)
    if rungs is None:
        assert 0.35 <= a[0] < 0.5
    else:
        assert len(ladder) == rungs


def test_expected_acceptance_is_that_of_normal_energies():
    """Energies of 200 harmonic degrees of freedom at two temperatures, swaps counted."""
    rng = torch.Generator().manual_seed(0)
    n, d, t = 20_000, 200, 1.1
    u1, u2 = (0.5 * T * (torch.randn(n, d, generator=rng) ** 2).sum(1) for T in (1.0, t))
    counted = ((1 - 1 / t) * (u1 - u2)).clamp_max(0).exp().mean().item()
    assert expected_acceptance(1.0, d / 2, 1 / t, t * d / 2) == pytest.approx(counted, abs=0.01)


def test_an_energy_that_does_not_grow_gets_a_geometric_ladder():
    assert equal_acceptance(1.0, 8.0, lambda kT: 0.0, rungs=3)[::2] == [1.0, 8.0]
    assert equal_acceptance(1.0, 8.0, lambda kT: 0.0) == [1.0, 8.0]


def test_endless_ladders_are_refused():
    with pytest.raises(ValueError, match="more than 256 rungs: give a lower max_temperature"):
        equal_acceptance(1.0, 100.0, lambda kT: 1e5 * kT)


def test_rungs_at_wanted_temperatures():
    assert with_rungs_at([1.0, 1.5, 2.0, 3.0], [1.4, 1.6]) == [1.0, 1.4, 1.6, 3.0]
    assert with_rungs_at([1.0, 1.5, 2.0, 3.0], [1.5, 1.6, 3.0]) == [1.0, 1.5, 1.6, 3.0]
    with pytest.raises(ValueError, match=r"4 lies outside the ladder from 1 to 3"):
        with_rungs_at([1.0, 2.0, 3.0], [4.0])
    with pytest.raises(ValueError, match=r"3 rungs has no inner rung for 2.5: give more rungs"):
        with_rungs_at([1.0, 2.0, 3.0], [1.5, 2.5])
