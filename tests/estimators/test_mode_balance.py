"""Shares of metastable states: floors hold, proportions stay, and weights add up."""

import pytest
import torch

from lit_bg.estimators import balance, raise_shares
from lit_bg.estimators.mode_balance import check_least_share


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("least", [0.01, 0.1, 0.2])
def test_floors_hold_and_what_is_above_keeps_its_proportions(least):
    p = torch.rand(200, 5, generator=rng(), dtype=torch.float64) ** 6
    floors = torch.full_like(p, least)
    s = raise_shares(p, floors)
    torch.testing.assert_close(s.sum(1), torch.ones(200, dtype=torch.float64))
    assert (s >= floors - 1e-12).all()
    for row, share in zip(p, s, strict=True):
        above = share > least + 1e-12
        ratio = share[above] / row[above]
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
        if above.any():  # what is at the floor would lie below it with the common factor: nothing was lifted without need
            assert (row[~above] * ratio[0] <= least + 1e-12).all()
    if least == 0.2:
        torch.testing.assert_close(s, floors)


def test_shares_that_need_no_lift_stay():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    torch.testing.assert_close(raise_shares(3 * p, torch.full((3,), 0.1, dtype=torch.float64)), p)
    assert (raise_shares(torch.zeros(2, 3), torch.full((2, 3), 0.1)) == 0).all()


def test_balanced_weights():
    w = torch.rand(1000, generator=rng(1), dtype=torch.float64)
    label = torch.randint(-1, 4, (1000,), generator=rng(2))
    w[label == 2] *= 1e-6
    w[label == 3] = 0.0
    found = balance(w, label, 4, 0.2)
    share = torch.stack([found[label == k].sum() for k in range(-1, 4)])
    assert found.sum().item() == pytest.approx(1)
    assert share[3].item() == pytest.approx(0.2)
    assert share[4] == 0  # a mode without weight stays so
    before = torch.stack([w[label == k].sum() for k in (-1, 0, 1)])
    torch.testing.assert_close(share[:3] / share[:3].sum(), before / before.sum())  # the others, and what is in no mode
    for k in range(-1, 3):
        inside = label == k
        torch.testing.assert_close(found[inside] / share[k + 1], w[inside] / w[inside].sum())


def test_what_is_in_no_mode_has_no_floor():
    w = torch.tensor([0.7, 0.29, 1e-5, 0.0], dtype=torch.float64)
    found = balance(w, torch.tensor([0, 1, -1, 0]), 2, 0.5)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64), atol=1e-4, rtol=0)
    assert found.sum().item() == pytest.approx(1)


def test_groups_are_balanced_on_their_own():
    w = torch.rand(3, 50, generator=rng(3), dtype=torch.float64)
    label = (torch.rand(3, 50, generator=rng(4)) < 0.1).long()
    w[2], label[1] = 0.0, 0
    found = balance(w, label, 2, 0.4)
    torch.testing.assert_close(found[0], balance(w[0], label[0], 2, 0.4))
    torch.testing.assert_close(found[1], w[1] / w[1].sum())  # there is one mode alone
    assert (found[2] == 0).all()
    assert (found[0] * (label[0] == 1)).sum().item() == pytest.approx(0.4)


def test_shares_that_cannot_be_are_refused():
    check_least_share(1 / 3, ("a", "b", "c"), "X", "a system")
    for wrong in (0.0, -0.1, 0.34, float("nan")):
        with pytest.raises(ValueError, match=r"X gives each of 3 modes .* at most 0\.333, got"):
            check_least_share(wrong, ("a", "b", "c"), "X", "a system")
    with pytest.raises(ValueError, match="X gives every mode a share, and a system knows no modes"):
        check_least_share(0.2, None, "X", "a system")
