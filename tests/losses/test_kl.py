"""Both KL losses against exact values."""

import math

import pytest
import torch
from given_frames import value_of

from lit_bg.energies.base import Energy
from lit_bg.generators import CouplingFlow, Generator
from lit_bg.losses import Batch, ForwardKL, ReverseKL, ReweightedKL
from lit_bg.losses.drought import NothingFinite
from lit_bg.rng import stream
from lit_bg.spaces import Vectors


class Harmonic(Energy):
    """A Gaussian of mean m and width s, unnormalised; optionally singular somewhere."""

    space = Vectors(1)

    def __init__(self, m=0.0, s=1.0, singular=None):
        super().__init__()
        self.m, self.s, self.singular = m, s, singular

    def potential(self, x):
        u = ((x - self.m) ** 2).sum(-1) / (2 * self.s**2)
        if self.singular == "nan":
            u = u + 0 * torch.sqrt(1.0 - x[:, 0])  # NaN beyond 1, and a NaN gradient even for a zero one
        if self.singular == "inf":
            u = torch.where(x[:, 0] > 1, torch.inf, u)
        if self.singular == "-inf":
            u = torch.where(x[:, 0] > 1, -torch.inf, u)
        if self.singular == "wall":
            u = u + torch.where(x[:, 0] > 1, 1e30, 0.0) * x[:, 0]
        return u


def gaussian_flow(t=0.0, log_scale=0.0):
    """q = N(t, exp(2 log_scale)) exactly."""
    flow = CouplingFlow(blocks=1, transform="affine").build(Harmonic())
    raw = 3 * math.atanh(log_scale / 3)
    flow.stack.transforms[0].params.data = torch.tensor([t, raw]).reshape(2, 1, 1)
    return flow


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def proposed(flow, n, seed=0):
    """The proposals of a batch."""
    return flow.sample(n, stream(seed, "train/proposals"))


def test_reverse_kl_of_gaussians():
    """<u + log q> = -log Z + KL(q || p): value and gradient within 4 standard errors."""
    t, r, m, s = 0.7, -0.3, -0.5, 1.5
    energy, flow = Harmonic(m, s), gaussian_flow(t, r)
    log_z = math.log(s) + 0.5 * math.log(2 * math.pi)
    kl = math.log(s) - r + (math.exp(2 * r) + (t - m) ** 2) / (2 * s**2) - 0.5
    values, slopes = [], []
    for seed in range(40):
        loss = value_of(ReverseKL(), flow, energy, 500, seed=seed)
        params = flow.stack.transforms[0].params
        (grad,) = torch.autograd.grad(loss, params)
        values.append(loss.item())
        slopes.append(grad.flatten())
    values, slopes = torch.tensor(values), torch.stack(slopes)
    assert abs(values.mean() - (kl - log_z)) < 4 * values.std() / math.sqrt(40)
    # d/dt and d/d(log scale); the bound of the scale has slope 1 - (r/3)^2 there
    exact = torch.tensor([(t - m) / s**2, (math.exp(2 * r) / s**2 - 1) * (1 - (r / 3) ** 2)])
    assert ((slopes.mean(0) - exact).abs() < 4 * slopes.std(0) / math.sqrt(40)).all()


def test_reverse_kl_at_the_target_has_no_variance():
    loss = value_of(ReverseKL(), gaussian_flow(0.3, 0.2), Harmonic(0.3, math.exp(0.2)), 3)
    assert loss.item() == pytest.approx(-0.2 - 0.5 * math.log(2 * math.pi), abs=1e-6)


def test_forward_kl_is_the_negative_log_likelihood():
    x = torch.tensor([[0.0], [1.0], [-2.5]])
    exact = -torch.distributions.Normal(0.7, math.exp(-0.3)).log_prob(x).mean()
    loss = value_of(ForwardKL(), gaussian_flow(0.7, -0.3), Harmonic(), 0, x)
    torch.testing.assert_close(loss, exact)


@pytest.mark.parametrize("singular", ["nan", "inf"])
def test_proposals_without_energy_are_dropped_counted_and_leave_no_gradient(singular):
    flow, loss = gaussian_flow(0.5), ReverseKL()
    result = value_of(loss, flow, Harmonic(singular=singular), 400)
    (grad,) = torch.autograd.grad(result, flow.stack.transforms[0].params)
    x, log_q = proposed(flow, 400)
    kept = x[:, 0] <= 1
    assert loss.parts()["dropped"] == (~kept).sum() > 50
    expected = (Harmonic()(x) + log_q)[kept].mean()
    (expected_grad,) = torch.autograd.grad(expected, flow.stack.transforms[0].params)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(grad, expected_grad)


def test_a_batch_without_a_finite_energy_says_so():
    flow, energy = gaussian_flow(50.0), Harmonic(singular="inf")
    loss, batch = ReverseKL().build(flow, energy), Batch(flow, energy, 5)
    with pytest.raises(NothingFinite, match=r"none of 5 proposals has a finite energy under Harmonic \(0 NaN, 5 \+inf\)"):
        loss(batch)
    assert loss.parts()["dropped"] == 5
    assert batch.proposals.n_finite == 0


def test_minus_infinity_is_a_bug_of_the_energy():
    with pytest.raises(FloatingPointError, match=r"Harmonic gave u = -inf for \d+ of 100 proposals"):
        value_of(ReverseKL(), gaussian_flow(), Harmonic(singular="-inf"), 100)


def test_cut_tames_walls_and_leaves_the_rest():
    flow, wall = gaussian_flow(0.5), Harmonic(singular="wall")
    x, log_q = proposed(flow, 400)
    u = wall(x)
    cut = torch.where(u > 4, 4 + torch.log(1 + u - 4), u)
    assert (u > 1e29).any()
    result = value_of(ReverseKL(cut=4.0), flow, wall, 400)
    torch.testing.assert_close(result, (cut + log_q).mean())
    (grad,) = torch.autograd.grad(result, flow.stack.transforms[0].params)
    assert torch.isfinite(grad).all()
    below = value_of(ReverseKL(cut=1e3), flow, Harmonic(), 400)
    torch.testing.assert_close(below, value_of(ReverseKL(), flow, Harmonic(), 400))


def test_cut_may_follow_a_schedule():
    loss = ReverseKL(cut=[(0, 1.0), (10, 5.0)])
    for step, cut in ((0, 1.0), (5, 3.0), (99, 5.0)):
        loss.at_step(step)
        assert loss.cut == cut


def test_forward_kl_refuses_what_cannot_work():
    class Blind(Generator):
        def build(self, energy):
            return self

        def sample(self, n, rng, context=None):
            return torch.zeros(n, 1), torch.zeros(n)

    with pytest.raises(ValueError, match="Blind has no log_prob: train it from the energy"):
        ForwardKL().build(Blind(), Harmonic())
    with pytest.raises(ValueError, match=r"there are no data: set data\.path"):
        value_of(ForwardKL(), gaussian_flow(), Harmonic(), 3)


def test_reweighted_kl_has_the_gradient_of_the_forward_kl():
    """d/dt and d/dr of KL(p || N(t, e^r)) for a Gaussian p, within 4 standard errors of 40 batches; and its ESS."""
    t, r, m, s = 0.3, 0.2, -0.2, 0.9
    energy, flow = Harmonic(m, s), gaussian_flow(t, r)
    slopes, ess = [], []
    for seed in range(40):
        loss = ReweightedKL()
        value = value_of(loss, flow, energy, 5000, seed=seed)
        slopes.append(torch.autograd.grad(value, flow.stack.transforms[0].params)[0].flatten())
        ess.append(loss.parts()["ess"].item())
    slopes = torch.stack(slopes)
    var = math.exp(2 * r)
    exact = torch.tensor([(t - m) / var, (1 - (s**2 + (t - m) ** 2) / var) * (1 - (r / 3) ** 2)])  # dr/d raw
    error = slopes.std(0) / math.sqrt(40)
    assert (error < 0.02).all()
    assert ((slopes.mean(0) - exact).abs() < 4 * error).all()
    # <w>^2 / <w^2> of two Gaussians
    narrow = 1 / (2 / s**2 - 1 / var)
    shift = 2 * m / s**2 - t / var
    log_second = -2 * math.log(s) + r + 0.5 * math.log(narrow) + 0.5 * (narrow * shift**2 - 2 * m**2 / s**2 + t**2 / var)
    assert sum(ess) / 40 == pytest.approx(math.exp(-log_second), abs=0.01)


def test_reweighted_kl_leaves_out_what_has_no_energy_and_bounds_single_weights():
    flow = gaussian_flow()
    for singular in ("nan", "inf"):
        loss = ReweightedKL()
        value = value_of(loss, flow, Harmonic(singular=singular), 2000)
        (grad,) = torch.autograd.grad(value, flow.stack.transforms[0].params)
        assert torch.isfinite(value)
        assert torch.isfinite(grad).all()
        assert grad[0].item() > 0.1  # all that counts lies below 1, so t has to go down

    class Nowhere(Harmonic):
        def potential(self, x):
            return torch.full((len(x),), torch.inf)

    with pytest.raises(FloatingPointError, match="none of 10 proposals has a finite energy"):
        value_of(ReweightedKL(), flow, Nowhere(), 10)

    class Trap(Harmonic):
        def potential(self, x):
            return -100.0 * (x[:, 0] == x[:, 0].max())

    _, log_q = proposed(flow, 10_000, 3)
    value = value_of(ReweightedKL(), flow, Trap(), 10_000, seed=3)
    assert value.item() < -log_q.min().item() / 2  # the proposal in the trap has 1 % of the weight


def test_truncated_weights():
    from lit_bg.losses.reweighted_kl import truncate

    for n in (1, 2, 9, 50, 1000):
        for spread in (0.0, 1.0, 30.0):
            w = (spread * torch.randn(n, generator=rng(n), dtype=torch.float64)).exp()
            cut = truncate(w)
            assert cut.sum().item() == pytest.approx(1)
            assert cut.max() <= 1 / math.sqrt(n) + 1e-9
            below = cut < cut.max() * (1 - 1e-9)
            ratio = cut[below] / w[below]  # what is not cut keeps its proportions
            torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
            if w.max() / w.sum() <= 1 / math.sqrt(n):
                torch.testing.assert_close(cut, w / w.sum())
