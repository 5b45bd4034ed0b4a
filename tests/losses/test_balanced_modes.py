"""A rare state gets its share of the proposals, and its free energy an error bar that the plain loss cannot give."""

import math

import pytest
import torch
from given_frames import value_of

from lit_bg.diagnostics.modes import share_modes
from lit_bg.energies import DoubleWell, Gaussian, Tempered
from lit_bg.energies.base import Energy, Modes
from lit_bg.generators import CouplingFlow
from lit_bg.losses import Batch, ReweightedKL
from lit_bg.rng import Place, stream
from lit_bg.samples import draw
from lit_bg.spaces import Vectors


class Sides(Energy):
    """A standard normal whose two modes are below and above 1.5, of probability 0.067; optionally another above 40."""

    space = Vectors(1)

    def __init__(self, nowhere=False):
        super().__init__()
        self.nowhere = nowhere

    def potential(self, x):
        return 0.5 * (x**2).sum(-1)

    @property
    def modes(self):
        edges = torch.tensor([1.5, 40.0] if self.nowhere else [1.5])
        return Modes(("low", "high", "nowhere")[: len(edges) + 1], lambda x: torch.bucketize(x[:, 0].contiguous(), edges))


def flow(energy):
    return CouplingFlow(blocks=1, transform="affine").build(energy)


def slope(loss, energy, n, seed):
    q = flow(energy)
    value = value_of(loss, q, energy, n, seed=seed)
    return torch.autograd.grad(value, q.stack.transforms[0].params)[0].flatten()


@pytest.mark.parametrize("least", [0.3, 0.5])
def test_the_gradient_is_that_of_the_mixture_with_these_shares(least):
    """q = N(t, e^r) at t = r = 0: d/dt and d/dr of -<log q> are -<x> and 1 - <x^2>, over sum_m s_m p(x | m)."""
    found = torch.stack([slope(ReweightedKL(least), Sides(), 4000, seed) for seed in range(40)])
    x = torch.linspace(-9, 9, 40_001, dtype=torch.float64)
    density = (-0.5 * x**2).exp()
    high = x > 1.5
    mixed = density * torch.where(high, least / density[high].sum(), (1 - least) / density[~high].sum())
    exact = torch.stack([-(mixed * x).sum(), 1 - (mixed * x**2).sum()])
    error = found.std(0) / math.sqrt(40)
    assert (error < 0.02).all()
    assert ((found.mean(0) - exact).abs() < 4 * error).all()
    assert abs(exact[0]) > 0.4  # far from 0, where the plain loss has it


def test_a_mode_that_no_proposal_lies_in_adds_nothing():
    for least in (0.1, 1 / 3):
        plain, more = (slope(ReweightedKL(least), Sides(nowhere), 500, 3) for nowhere in (False, True))
        if least == 0.1:
            torch.testing.assert_close(plain, more)
        assert torch.isfinite(more).all()
    # a batch of one mode alone is as if nothing had been asked for
    energy = Sides()
    seed = next(s for s in range(100) if (flow(energy).sample(10, stream(s, "train/proposals"))[0] < 1.5).all())
    torch.testing.assert_close(slope(ReweightedKL(0.3), energy, 10, seed), slope(ReweightedKL(), energy, 10, seed))


def test_few_proposals_of_a_mode_do_not_take_its_whole_share():
    """One of 400 has at most 1 / sqrt(400) of the weight, where 0.5 was asked for."""

    class One(Sides):
        @property
        def modes(self):
            return Modes(("low", "high"), lambda x: (x[:, 0] == x[:, 0].max()).long())

    q = flow(One())
    x, log_q = q.sample(400, stream(0, "train/proposals"))
    high = x[:, 0] == x[:, 0].max()
    expected = -(0.05 * log_q[high].sum() + 0.95 * log_q[~high].mean())
    torch.testing.assert_close(value_of(ReweightedKL(0.5), q, One(), 400), expected, rtol=1e-5, atol=1e-5)


def test_sets_of_conditions_are_balanced_on_their_own():
    energy = Tempered(DoubleWell(), 0.5, 4.0)
    torch.manual_seed(0)
    q = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    loss = ReweightedKL(0.3).build(q, energy)
    loss(Batch(q, energy, 256, differentiable=False, per_condition=loss.per_condition)).backward()
    assert all(torch.isfinite(p.grad).all() for p in q.parameters())


def test_the_double_well_is_proposed_in_equal_shares_and_its_free_energy_is_right():
    energy = DoubleWell()
    torch.manual_seed(0)
    q = CouplingFlow(blocks=3, hidden=(24,)).build(energy)
    q.adapt(energy.exact_samples(2000, torch.Generator().manual_seed(0)))
    loss = ReweightedKL(0.5).build(q, energy)
    optimizer = torch.optim.Adam(q.parameters(), lr=5e-3)
    for step in range(150):
        optimizer.zero_grad()
        loss(Batch(q, energy, 256, at=Place(step=step), differentiable=False)).backward()
        optimizer.step()
    exact = -math.log((1 - energy.p_left) / energy.p_left)
    repeats = []
    for seed in range(8):
        with torch.no_grad():
            s = draw(q, energy, 5000, torch.Generator().manual_seed(seed))
        label = energy.modes.label(s.x)
        right = share_modes(energy.modes.names, label, s.log_w, {})["right"]
        assert abs(right.raw - 0.5) < 0.12
        assert right.free_energy_error < 0.06  # 5000 exact samples would have 0.079
        assert abs(right.free_energy - exact) < 4 * right.free_energy_error
        repeats.append(right.free_energy)
    repeats = torch.tensor(repeats)
    assert abs(repeats.mean() - exact) < 4 * repeats.std() / math.sqrt(8)


def test_shares_are_checked_before_training():
    for energy, least, message in (
        (DoubleWell(), 0.6, r"ReweightedKL gives each of 2 modes of DoubleWell .* at most 0\.5, got 0\.6"),
        (DoubleWell(), -0.1, "above 0"),
        (Gaussian(2), 0.1, "ReweightedKL gives every mode a share, and Gaussian knows no modes"),
    ):
        with pytest.raises(ValueError, match=message):
            ReweightedKL(least).build(flow(energy), energy)
