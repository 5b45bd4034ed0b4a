"""Averages, log Z and families of populations; entries of walkers into modes."""

import math

import pytest
import torch
from population_coverage import cover

from lit_bg.estimators import (
    average,
    count_ancestors,
    count_entries,
    effective_ancestors,
    log_norm,
    populations_disagree,
)

S = 0.8  # x ~ N(0, 1) with log w = S x - S^2 / 2: then Z = 1 and the target is N(S, 1)


def tilted(populations, particles, g):
    x = torch.randn(populations, particles, generator=g, dtype=torch.float64)
    return x, S * x - S**2 / 2


def test_errors_cover():
    """200 repeats of 73 % scatter by 3.1 %, so 0.60 to 0.84 is four of that about the best and the worst of the long test."""
    covered = cover(200)[:, 0]
    assert ((covered > 0.60) & (covered < 0.84)).all(), covered


@pytest.mark.slow
@pytest.mark.parametrize("populations", [8, 16])
def test_errors_cover_one_in_one_and_a_half(populations):
    """68 % of a normal error; Student's factor is chosen for two errors too and is a little wide at one. 500 scatter by 2 %."""
    covered = cover(500, populations)[:, 0]
    assert ((covered > 0.60) & (covered < 0.78)).all(), covered


def test_the_estimate_is_that_of_all_weights_together():
    x, log_w = tilted(5, 30, torch.Generator().manual_seed(1))
    w = log_w.exp()
    assert average(x, log_w, "populations")[0] == pytest.approx(((w * x).sum() / w.sum()).item())
    assert log_norm(log_w, "populations")[0] == pytest.approx(w.mean().log().item())
    assert log_norm(log_w + 700, "populations")[0] == pytest.approx(700 + w.mean().log().item())


def test_no_error_without_a_second_population_or_an_event():
    x, log_w = tilted(1, 30, torch.Generator().manual_seed(1))
    assert log_norm(log_w, "populations")[1] == math.inf
    assert average(x, log_w, "populations")[1] == math.inf
    assert average(torch.zeros(4, 5), torch.zeros(4, 5), "populations") == (0.0, math.inf)
    assert average(torch.full((8, 5), 3.0), torch.zeros(8, 5), "populations") == pytest.approx((3.0, 0.0))
    x, log_w = tilted(4, 30, torch.Generator().manual_seed(1))
    assert average(x, log_w, "populations")[1] == math.inf
    held = torch.zeros(8, 100)
    held[:4, :10] = 1  # an event in four of eight
    assert average(held, torch.zeros(8, 100), "populations") == (pytest.approx(0.05), math.inf)
    assert average(x, torch.full((4, 30), -math.inf), "populations")[1] == math.inf
    assert log_norm(torch.full((4, 30), -math.inf), "populations") == (-math.inf, math.inf)


def test_a_particle_without_weight_may_be_anything():
    a = torch.tensor([[1.0, math.nan], [3.0, math.inf]])
    assert average(a, torch.tensor([[0.0, -math.inf], [0.0, -math.inf]]), "populations")[0] == 2.0


def test_weights_must_be_numbers_of_populations():
    with pytest.raises(ValueError, match=r"shape \(P, N\)"):
        log_norm(torch.zeros(5), "populations")
    with pytest.raises(ValueError, match="1 of 4 log weights are NaN"):
        log_norm(torch.tensor([[0.0, 0.0], [0.0, math.nan]]), "populations")


def test_families():
    ancestor = torch.tensor([[0, 0, 0, 3], [1, 1, 2, 2]])
    log_w = torch.zeros(2, 4)
    assert count_ancestors(log_w, ancestor) == 4
    assert effective_ancestors(log_w, ancestor) == pytest.approx(8**2 / (9 + 1 + 4 + 4))
    assert effective_ancestors(log_w, ancestor, torch.tensor([[True] * 3 + [False], [False] * 4])) == 1.0


def test_populations_that_differ_by_more_than_their_families_disagree():
    g, alone = torch.Generator().manual_seed(0), torch.arange(200).repeat(8, 1)
    wrong = 0
    for _ in range(200):
        x, log_w = tilted(8, 200, g)
        wrong += populations_disagree(log_w, alone) + populations_disagree(log_w, alone, x)
    assert wrong <= 1  # of 400, each with a chance of 6e-5
    x, log_w = tilted(8, 200, g)
    shift = torch.linspace(-0.5, 0.5, 8, dtype=torch.float64)[:, None]
    assert populations_disagree(log_w + shift, alone)
    assert populations_disagree(log_w, alone, x + shift)
    assert not populations_disagree(log_w + shift, torch.zeros_like(alone))  # one family each says nothing


def test_entries_count_what_comes_from_another_mode():
    label = torch.tensor([[0, -1], [0, 1], [1, -1], [-1, 1], [1, 0], [-1, 1], [0, 1], [-1, 2]])
    assert count_entries(label, 4).tolist() == [2, 2, 1, 0]
    assert count_entries(label[:1], 4).tolist() == [0, 0, 0, 0]


def test_entries_of_a_two_state_chain_follow_its_rates():
    """Leaving 0 with 0.1 and 1 with 0.3 a step: 0.075 entries into each a step."""
    g, state, kept = torch.Generator().manual_seed(0), torch.zeros(50, dtype=torch.long), []
    for _ in range(2000):
        leave = torch.rand(50, generator=g) < torch.where(state == 0, 0.1, 0.3)
        state = torch.where(leave, 1 - state, state)
        kept.append(state)
    entries = count_entries(torch.stack(kept), 2)
    assert abs(entries - 7500).max() < 4 * 7500**0.5  # Poisson at most
