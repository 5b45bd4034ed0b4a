"""How modes are held by correlated proposals."""

import torch

from lit_bg.diagnostics.modes import share_modes


def test_the_upper_limit_of_an_unseen_mode_follows_the_independent_draws_and_stays_a_probability():
    """Nothing of mode b among 100 draws: the rule of three gives 3 / 100, and 3 g / 100 where g draws are worth one."""
    label, log_w = torch.zeros(100, dtype=torch.long), torch.zeros(100)
    limits = [share_modes(("a", "b"), label, log_w, {}, inefficiency)["b"].upper for inefficiency in (1.0, 5.0, 100.0)]
    torch.testing.assert_close(torch.tensor(limits), torch.tensor([0.03, 0.15, 1.0]))
