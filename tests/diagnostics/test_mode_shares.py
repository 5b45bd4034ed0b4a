"""How modes are held by correlated proposals, and by samples of several states."""

import math

import pytest
import torch

from lit_bg.diagnostics.modes import share_modes, share_pooled
from lit_bg.estimators import bar, mbar_log_weights


def test_the_upper_limit_of_an_unseen_mode_follows_the_independent_draws_and_stays_a_probability():
    """Nothing of mode b among 100 draws: the rule of three gives 3 / 100, and 3 g / 100 where g draws are worth one."""
    label, log_w = torch.zeros(100, dtype=torch.long), torch.zeros(100)
    limits = [share_modes(("a", "b"), label, log_w, {}, inefficiency)["b"].upper for inefficiency in (1.0, 5.0, 100.0)]
    torch.testing.assert_close(torch.tensor(limits), torch.tensor([0.03, 0.15, 1.0]))


def test_what_is_not_known_of_the_free_energies_of_states_is_in_the_errors_of_modes():
    """The mode above 1 of N(0, 1), from as many samples of N(2, 1), which are nearly all in it, as of N(0, 1)."""
    rng, n, found = torch.Generator().manual_seed(0), 400, []
    counts = torch.tensor([n, n])
    for repeat in range(200):
        x = torch.randn(2 * n, generator=rng, dtype=torch.float64) + torch.tensor([2.0, 0.0]).repeat_interleave(n)
        u, label = torch.stack([(x - 2) ** 2 / 2, x**2 / 2]), (x > 1).long()
        f = torch.tensor([0.0, bar((u[1] - u[0])[:n], (u[0] - u[1])[n:])[0]], dtype=torch.float64)
        share = share_pooled(("below", "above"), label, u, u[1], counts, f)["above"]
        found.append((share.free_energy, share.free_energy_error))
        if repeat == 0:
            as_given = share_modes(("below", "above"), label, mbar_log_weights(u, u[1], counts, f), {})["above"]
            assert as_given.free_energy_error < 0.88 * share.free_energy_error
    above = 0.5 * math.erfc(1 / math.sqrt(2))
    value, error = torch.tensor(found, dtype=torch.float64).T
    off = value - math.log((1 - above) / above)
    scatter = off.square().mean().sqrt().item()  # to 5 %
    assert error.mean().item() == pytest.approx(scatter, rel=0.15)
    assert abs(off.mean().item()) < 4 * scatter / math.sqrt(len(found))


def test_a_mode_without_a_sample_has_no_free_energy():
    u = torch.zeros(1, 40)
    label = torch.arange(40) % 2
    shares = share_pooled(("a", "b", "c"), label, u, u[0], torch.tensor([40]), torch.zeros(1))
    assert math.isfinite(shares["b"].free_energy_error)
    assert math.isnan(shares["c"].free_energy)
    assert math.isinf(shares["c"].free_energy_error)
    first = share_pooled(("a", "b"), torch.ones(40, dtype=torch.long), u, u[0], torch.tensor([40]), torch.zeros(1))
    assert math.isinf(first["b"].free_energy_error)
