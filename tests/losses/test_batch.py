"""Every draw of a training step has an address of its own: no term changes what another sees."""

import pytest
import torch
from given_frames import Given

from lit_bg.energies import DoubleWell, Tempered
from lit_bg.generators import ContinuousFlow, CouplingFlow
from lit_bg.losses import Batch, FlowMatching, Loss, ReverseKL, WeightedSum
from lit_bg.nets import MLPField
from lit_bg.rng import Place, stream


class Listener(Loss):
    """Takes in all that a term can draw."""

    needs_data = True

    def __init__(self):
        super().__init__()
        self.heard = None

    def forward(self, batch):
        noise = torch.randn(batch.size, generator=batch.rng("noise"))
        times = torch.rand(batch.size, generator=batch.rng("times"))
        p, frames = batch.proposals, batch.frames
        self.heard = [noise, times, p.x, p.log_q, p.u, frames.x]
        return (p.log_q + p.u).mean()


class Other(Listener):
    """A second term, which draws as much."""


def heard(terms, weights, step=3):
    energy = DoubleWell()
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    total = WeightedSum(terms, weights).build(flow, energy)
    total.at_step(step)
    source = Given(energy.exact_samples(5, torch.Generator().manual_seed(0)))
    total(Batch(flow, energy, 6, source, at=Place(seed=1, rank=2, step=step)))
    return {type(term).__name__: [value.detach() for value in term.heard] for term in terms if term.heard is not None}


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_term_hears_the_same_whether_another_has_weight_and_in_any_order():
    both = heard([Listener(), Other()], [1.0, 1.0])
    alone = heard([Listener(), Other()], [1.0, [[0, 0.0], [5, 0.0], [9, 1.0]]])
    assert set(alone) == {"Listener"}
    assert equal(both["Listener"], alone["Listener"])
    turned = heard([Other(), Listener()], [1.0, 1.0])
    assert equal(both["Listener"], turned["Listener"])
    assert equal(both["Other"], turned["Other"])
    assert not equal(both["Listener"][:2], both["Other"][:2])  # noise of its own
    assert equal(both["Listener"][2:], both["Other"][2:])  # the same proposals and frames
    assert not equal(both["Listener"], heard([Listener(), Other()], [1.0, 1.0], step=4)["Listener"])


def test_a_regression_draws_the_same_beside_another_term():
    energy = DoubleWell()
    torch.manual_seed(0)
    flow = ContinuousFlow(MLPField((8,))).build(energy)
    source = Given(energy.exact_samples(20, torch.Generator().manual_seed(0)))
    parts = []
    for weight in (0.0, 1.0):
        total = WeightedSum([ReverseKL(), FlowMatching()], [weight, 1.0]).build(flow, energy)
        total(Batch(flow, energy, 20, source))
        parts.append(total.parts()["FlowMatching"])
    assert torch.equal(*parts)


def test_addresses_are_seed_purpose_rank_and_step():
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(DoubleWell())
    batch = Batch(flow, DoubleWell(), 4, at=Place(seed=5, rank=1, step=7))
    for view, stage in ((batch, "train/noise"), (batch.of("A"), "train/A/noise"), (batch.of("A").of("B"), "train/A/B/noise")):
        assert view.rng("noise").initial_seed() == stream(5, stage, 1, 7).initial_seed()
    x, log_q = flow.sample(4, stream(5, "train/proposals", 1, 7))
    assert torch.equal(batch.proposals.x, x)
    assert torch.equal(batch.of("A").proposals.log_q, log_q)


def test_energies_are_evaluated_when_asked_for_and_once():
    energy = DoubleWell()
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    batch = Batch(flow, energy, 4)
    assert batch.proposals.x is batch.of("A").proposals.x
    assert batch.context is None
    assert (energy.n_values, batch.proposals.n_finite) == (0, None)
    assert batch.proposals.u is batch.of("A").proposals.u
    assert (energy.n_values, batch.proposals.n_finite) == (4, 4)
    assert torch.equal(batch.proposals.detach().log_w, -batch.proposals.u.detach() - batch.proposals.log_q.detach())


def test_conditions_of_proposals_are_even_over_the_range_and_their_energies_their_own():
    energy = Tempered(DoubleWell(), 0.5, 4.0)
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    batch = Batch(flow, energy, 64, at=Place(step=2))
    context = batch.context
    assert context.shape == (64, 1)
    assert torch.equal(batch.of("A").context, context)
    scaled = energy.conditions[0].scale(context[:, 0]).sort().values
    assert (scaled - (2 * (torch.arange(64) + 0.5) / 64 - 1)).abs().max() < 1 / 64 + 1e-5  # one in every interval
    torch.testing.assert_close(batch.proposals.u, energy.energy.potential(batch.proposals.x) / context[:, 0])
    grouped = Batch(flow, energy, 64, per_condition=16)
    assert grouped.groups == 4
    sets = grouped.context.reshape(4, 16)
    assert (sets == sets[:, :1]).all()
    assert len(sets[:, 0].unique()) == 4


def test_there_are_no_frames_without_a_source():
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(DoubleWell())
    with pytest.raises(ValueError, match=r"there are no data: set data\.path or data\.source"):
        _ = Batch(flow, DoubleWell(), 4).frames
