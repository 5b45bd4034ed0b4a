"""Losses under conditions: each proposal and each frame counts under its own."""

import math

import pytest
import torch
from given_frames import Given, value_of

from lit_bg.energies import DoubleWell, Gaussian, Tempered
from lit_bg.generators import ContinuousFlow, CouplingFlow, Diffusion
from lit_bg.losses import (
    Batch,
    DenoisingScoreMatching,
    FlowMatching,
    ForwardKL,
    ReactionCoordinate,
    ReverseKL,
    ReweightedKL,
    WeightedSum,
)
from lit_bg.losses.pairings import MinibatchOT
from lit_bg.losses.reweighted_kl import truncate
from lit_bg.nets import MLPField

ENERGY = Tempered(DoubleWell(), 0.5, 4.0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def flow_for(energy=ENERGY):
    torch.manual_seed(0)
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return flow


def test_reverse_kl_is_the_mean_over_conditions():
    flow = flow_for()
    batch = Batch(flow, ENERGY, 50)
    loss = ReverseKL().build(flow, ENERGY)(batch)
    by_hand = [
        (ENERGY.given(c)(x[None]) + flow.log_prob(x[None], c)).item()
        for x, c in zip(batch.proposals.x.detach(), batch.context.double(), strict=True)
    ]
    assert loss.item() == pytest.approx(sum(by_hand) / 50, abs=1e-4)


def test_forward_kl_gives_each_frame_its_condition_and_weight():
    flow, kT = flow_for(), torch.tensor([[0.6], [1.0], [3.9]])
    x, w = torch.tensor([[-1.5, 0.0], [1.0, 0.3], [0.0, -2.0]]), torch.tensor([0.5, 2.5, 0.0])
    loss = value_of(ForwardKL(), flow, ENERGY, 3, Given(x, kT, w))
    torch.testing.assert_close(loss, -(w * torch.cat([flow.log_prob(a[None], c) for a, c in zip(x, kT, strict=True)])).mean())


@pytest.mark.parametrize(("make", "loss"), [(ContinuousFlow, FlowMatching), (Diffusion, DenoisingScoreMatching)])
def test_regressions_count_frames_by_their_weights(make, loss):
    """A frame of weight zero teaches nothing, one of weight two as much as two."""
    torch.manual_seed(0)
    flow = make(MLPField((8,))).build(ENERGY)
    torch.nn.init.normal_(flow.field.last.weight if make is ContinuousFlow else flow.field.network.last.weight)
    x, kT = ENERGY.exact_samples(40, rng()), 0.5 + 3 * torch.rand(40, 1, generator=rng())
    even = value_of(loss(), flow, ENERGY, 40, Given(x, kT))
    torch.testing.assert_close(value_of(loss(), flow, ENERGY, 40, Given(x, kT, torch.ones(40))), even)
    w = torch.zeros(40)
    w[:20] = 2.0
    half = value_of(loss(), flow, ENERGY, 40, Given(x, kT, w))
    moved = torch.where(w[:, None] > 0, x, x + 3)
    torch.testing.assert_close(value_of(loss(), flow, ENERGY, 40, Given(moved, kT, w)), half)
    assert value_of(loss(), flow, ENERGY, 40, Given(moved, kT)) != even
    assert value_of(loss(), flow, ENERGY, 40, Given(x, 4.5 - kT)) != even


def test_partition_functions_of_different_conditions_are_not_mixed():
    """log Z of these wells falls by 16 from the coldest to the hottest; weights of all at once would be those of the cold."""
    flow, loss = flow_for(), ReweightedKL()
    loss.build(flow, ENERGY)
    batch = Batch(flow, ENERGY, 256, per_condition=loss.per_condition, differentiable=False)
    assert batch.groups == 4
    value, by_hand, ess = loss(batch), [], []
    for k in range(4):
        rows = slice(64 * k, 64 * (k + 1))
        x, c = batch.proposals.x[rows], batch.context[64 * k]
        w = (-ENERGY.given(c.double())(x) - batch.proposals.log_q[rows]).double().softmax(0)
        by_hand.append(-(truncate(w) * flow.log_prob(x, c)).sum().item())
        ess.append(1 / (64 * (w**2).sum().item()))
    assert value.item() == pytest.approx(sum(by_hand) / 4, abs=1e-4)
    assert loss.parts()["ess"].item() == pytest.approx(sum(ess) / 4, rel=1e-4)


def test_reweighted_kl_has_the_gradient_of_the_mean_forward_kl():
    r"""Of $\langle KL(N(0, kT) | N(0, 2)) \rangle$ by the log scale r, $1 - kT / 2$, and by a slope of r in s = ln kT / ln 2.

    Within 4 standard errors of 40 batches, and the bias of self-normalised averages over 64.
    """
    energy = Tempered(Gaussian(1), 0.5, 2.0)
    flow = CouplingFlow(blocks=1, transform="affine", hidden=()).build(energy)
    layer, r, a = flow.stack.transforms[0], 0.5 * math.log(2), math.log(2)
    with torch.no_grad():
        layer.net.bias[1] = 3 * math.atanh(r / 3)
    slopes = []
    for seed in range(40):
        value = value_of(ReweightedKL(), flow, energy, 512, seed=seed)
        slopes.append(torch.stack([g.flatten()[1] for g in torch.autograd.grad(value, [layer.net.bias, layer.net.weight])]))
    slopes, bound = torch.stack(slopes), 1 - (r / 3) ** 2  # the bound of the scale has this slope
    exact = torch.tensor([1 - math.sinh(a) / (2 * a), -(math.cosh(a) / a - math.sinh(a) / a**2) / 2]) * bound
    error = slopes.std(0) / math.sqrt(40)
    assert (error < 0.01).all()
    assert ((slopes.mean(0) - exact).abs() < 4 * error + 0.02).all()


@pytest.mark.parametrize("estimate", ["density", "histogram"])
def test_a_coordinate_is_spread_at_every_condition_by_itself(estimate):
    """All values of one condition at one place, though together they are uniform: the loss sees it."""
    loss = ReactionCoordinate("x1", range=(-2.0, 2.0), estimate=estimate)

    class Fixed(CouplingFlow):
        spread = True

        def sample(self, n, rng, context=None):
            even = -2 + 4 * (torch.arange(64) + 0.5) / 64
            rows = even.repeat(64) if self.spread else even.repeat_interleave(64)
            return torch.stack([rows, 0 * rows], 1), torch.zeros(n)

    flow = Fixed(blocks=1).build(ENERGY)
    good = value_of(loss, flow, ENERGY, 64 * 64)
    Fixed.spread = False
    assert value_of(loss, flow, ENERGY, 64 * 64) > good + 0.5
    if estimate == "density":
        assert good.abs() < 2e-2


def test_what_is_drawn_does_not_depend_on_weights():
    total = WeightedSum([ReverseKL(), ReweightedKL()], [1.0, [[0, 0.0], [10, 1.0]]])
    assert total.per_condition == 64
    assert WeightedSum([ReverseKL(), ForwardKL()], [1.0, 1.0]).per_condition == 1


def test_pairings_would_mix_conditions_and_weights():
    flow = ContinuousFlow(MLPField((8,))).build(ENERGY)
    with pytest.raises(ValueError, match="MinibatchOT would make the base depend on them"):
        FlowMatching(pairing=MinibatchOT()).build(flow, ENERGY)
    plain = ContinuousFlow(MLPField((8,))).build(DoubleWell())
    x = DoubleWell().exact_samples(8, rng())
    with pytest.raises(ValueError, match="frames with weights must meet base samples as drawn: MinibatchOT"):
        value_of(FlowMatching(pairing=MinibatchOT()), plain, DoubleWell(), 8, Given(x, weight=torch.linspace(0.1, 1.9, 8)))
