"""Diffusions against the closed form of Gaussian mixtures, and their path weights."""

import functools
import math

import pytest
import torch
from given_frames import Given

from lit_bg.energies import DW4, Condition, DoubleWell, Energy, Gaussian
from lit_bg.estimators import ess, log_z
from lit_bg.generators import ContinuousFlow, Diffusion, ReverseDiffusion
from lit_bg.interpolants import Linear, Trigonometric, VarianceExploding, VariancePreserving
from lit_bg.losses import Batch, DenoisingScoreMatching, FlowMatching
from lit_bg.losses.pairings import MinibatchOT
from lit_bg.nets import EGNN, MLPField, VectorField
from lit_bg.nets.denoiser import Denoiser
from lit_bg.rng import Place
from lit_bg.solvers import RungeKutta4
from lit_bg.spaces import Vectors

MEANS = torch.tensor([[1.2, 0.3], [-0.6, -0.8]], dtype=torch.float64)
SHARE, WIDTH = torch.tensor([0.3, 0.7], dtype=torch.float64), 0.4
SCHEDULES = {
    "VP": VariancePreserving(),
    "VE": VarianceExploding(0.01, 20.0),
    "geometric": VarianceExploding(0.01, 20.0, rho=math.inf),
    "linear": Linear(),
    "trigonometric": Trigonometric(),
}
every = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


class Mixture(Energy):
    """Two Gaussians, normalised, so log Z = 0."""

    space = Vectors(2)

    def __init__(self):
        super().__init__(1.0)

    def potential(self, x):
        return -log_noised(x, torch.tensor(0.0).to(x), torch.tensor(1.0).to(x))

    def draw(self, n, rng):
        which = torch.multinomial(SHARE, n, replacement=True, generator=rng)
        return MEANS[which] + WIDTH * torch.randn(n, 2, generator=rng, dtype=torch.float64)


def log_noised(x, sigma, alpha):
    """log density of alpha x1 + sigma noise, at levels (B,) or (1,)."""
    sigma, alpha = sigma.reshape(-1, 1), alpha.reshape(-1, 1)
    variance = (alpha * WIDTH) ** 2 + sigma**2
    squares = (x[:, None] - alpha[..., None] * MEANS).square().sum(-1)
    return torch.logsumexp(SHARE.log() - squares / (2 * variance) - torch.log(2 * math.pi * variance), -1)


class Knowing(VectorField):
    """The network that a perfectly trained denoiser of the mixture would have."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule

    def build(self, energy):
        self.event_shape = energy.event_shape
        return self

    def at(self, clock):
        if isinstance(self.schedule, VariancePreserving):
            return torch.cos(clock * math.pi / 2), torch.sin(clock * math.pi / 2)
        return self.schedule.coefficients(clock)[:2]  # the clock is t

    def forward(self, clock, y, context=None):
        """F = [V E[x1|x] - alpha x / V] / sigma at x = V y."""
        sigma, alpha = (c[:, None] for c in self.at(clock))
        width = (sigma**2 + alpha**2).sqrt()
        x = width * y
        variance = (alpha * WIDTH) ** 2 + sigma**2
        squares = (x[:, None] - alpha[..., None] * MEANS[None]).square().sum(-1)
        share = torch.softmax(SHARE.log() - squares / (2 * variance), -1)
        mean = share @ MEANS
        expected = mean + alpha * WIDTH**2 / variance * (x - alpha * mean)
        return (width * expected - alpha * x / width) / sigma.clamp_min(1e-12)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def times(n):
    return torch.linspace(0.05, 0.95, n, dtype=torch.float64)


@every
def test_velocity_and_score_of_a_mixture(schedule):
    """Score against autograd of the log density; velocity against the conditional mean of the rate; both closed."""
    field, t = Denoiser(Knowing(schedule), schedule).build(Mixture()), times(9)
    sigma, alpha, _ = schedule.coefficients(t)
    x = alpha[:, None] * Mixture().draw(9, rng()) + sigma[:, None] * torch.randn(9, 2, generator=rng(1), dtype=torch.float64)
    x.requires_grad_()
    (score,) = torch.autograd.grad(log_noised(x, sigma, alpha).sum(), x)
    torch.testing.assert_close(field.score(t, x), score, rtol=1e-7, atol=1e-7)
    denoised = (x + sigma[:, None] ** 2 * score) / alpha[:, None]  # Tweedie
    torch.testing.assert_close(field.denoise(t, x), denoised, rtol=1e-7, atol=1e-7)
    dsigma, dalpha, _ = schedule.rates(t)
    torch.testing.assert_close(
        field(t, x), dalpha[:, None] * denoised - (dsigma * sigma)[:, None] * score, rtol=1e-6, atol=1e-6
    )


@every
def test_the_regression_has_the_right_minimum(schedule):
    """Target minus the exact F is uncorrelated with functions of x, within 4 sigma over 40 000 draws at each of four times."""
    field, n = Denoiser(Knowing(schedule), schedule).build(Mixture()), 40_000
    data, noise = Mixture().draw(n, rng()), torch.randn(n, 2, generator=rng(1), dtype=torch.float64)
    for t in (0.2, 0.5, 0.8, 0.95):
        t = torch.full((n,), t, dtype=torch.float64)
        at = field.level(t)
        x = at.signal * data + at.noise * noise
        left = field.target(at, data, noise) - field.correction(t, x)
        for probe in (torch.ones_like(x), x / at.width, torch.sin(2 * x / at.width)):
            product = left * probe
            assert (product.mean(0).abs() < 4 * product.std(0) / n**0.5).all()


@pytest.mark.parametrize("schedule", [VariancePreserving(), VarianceExploding(0.01, 400.0)], ids=["VP", "VE"])
def test_the_probability_flow_has_the_density_of_noised_data(schedule):
    """To what the schedule leaves of the data at its start."""
    flow = Diffusion(Knowing(schedule), schedule, solver=RungeKutta4(100)).build(Mixture()).double()
    x = Mixture().draw(40, rng())
    sigma, alpha, _ = schedule.coefficients(torch.ones(1, dtype=torch.float64))
    with torch.no_grad():
        torch.testing.assert_close(flow.log_prob(x), log_noised(x, sigma, alpha), rtol=0, atol=0.03)


@pytest.mark.parametrize("corrections", [0, 1])
def test_paths_of_an_exact_denoiser(corrections):
    """Weights give Z = 1 within 4 sigma at any number of steps, and more steps spread them less."""
    spread = []
    for steps in (20, 80):
        schedule = VariancePreserving()
        path = ReverseDiffusion(Knowing(schedule), schedule, steps, corrections, 0.02).build(Mixture()).double()
        with torch.no_grad():
            x, log_q = path.sample(2000, rng(3))
        log_w = -Mixture()(x) - log_q
        value, error = log_z(log_w)
        assert abs(value) < 4 * error
        assert path.evaluations == steps + 2 * corrections * (steps - 1)
        spread.append(log_w.std().item())
    assert spread[1] < spread[0]


@pytest.mark.parametrize("schedule", [VariancePreserving(), VarianceExploding(0.01, 20.0), Linear()])
def test_zero_is_exact_for_normal_data_in_any_number_of_steps(schedule):
    """A network that starts at rest proposes the normal density of its own noised data; all weights are equal."""
    energy = Gaussian(3)
    ode = Diffusion(MLPField((8,)), schedule, solver=RungeKutta4(60)).build(energy).double()
    sde = ReverseDiffusion(MLPField((8,)), schedule, steps=4).build(energy).double()
    for generator, least in ((ode, 0.999), (sde, 0.99)):
        with torch.no_grad():
            x, log_q = generator.sample(500, rng())
        assert ess(-energy(x) - log_q) > least
    assert set(ode.state_dict()) == set(sde.state_dict())


def test_particles_without_a_centre():
    energy = DW4()
    torch.manual_seed(0)
    ode = Diffusion(EGNN(2, 8), Trigonometric(), RungeKutta4(20), scale=2.5).build(energy).double().requires_grad_(False)
    for p in ode.field.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x, log_q = ode.sample(4, rng())
    assert x.mean(1).abs().max() < 1e-12
    torch.testing.assert_close(ode.log_prob(x), log_q, rtol=0, atol=1e-5)
    q, _ = torch.linalg.qr(torch.randn(2, 2, generator=rng(1), dtype=x.dtype))
    torch.testing.assert_close(ode.log_prob(x.roll(1, 1) @ q.T + 0.3), log_q, rtol=0, atol=1e-5)
    sde = ReverseDiffusion(EGNN(2, 8), steps=10, scale=2.5).build(energy).double()
    sde.load_state_dict(ode.state_dict())
    x, log_q = sde.sample(5, rng())
    assert x.mean(1).abs().max() < 1e-12
    assert not sde.has_log_prob


def test_divergence_of_a_denoiser():
    for network, energy in ((MLPField((8,)), DoubleWell()), (EGNN(2, 8), DW4())):
        torch.manual_seed(0)
        field = Denoiser(network, VariancePreserving()).build(energy).double()
        for p in field.parameters():
            torch.nn.init.normal_(p, std=0.4)
        t, x = times(3), torch.randn(3, *energy.event_shape, generator=rng(), dtype=torch.float64)
        v, divergence = field.with_divergence(t, x)
        for b in range(3):
            one = functools.partial(field, t[b : b + 1])
            jacobian = torch.autograd.functional.jacobian(lambda y, one=one: one(y[None])[0], x[b])
            trace = jacobian.reshape(energy.dim, energy.dim).trace()
            torch.testing.assert_close(divergence[b], trace, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(v, field(t, x))
        e = torch.randn(2, *x.shape, generator=rng(4), dtype=torch.float64)
        for a, b in zip(field.with_forms(t, x, e), VectorField.with_forms(field, t, x, e), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_one_interface_for_conditions():
    """Normal densities about a condition, learned by both regressions to a KL divergence of 0.05 (of 1 without it)."""
    energy = Gaussian(2)
    energy.conditions = (Condition("centre", -2.0, 2.0),)
    for make, loss in ((ContinuousFlow, FlowMatching()), (Diffusion, DenoisingScoreMatching())):
        torch.manual_seed(0)
        flow = make(MLPField((32,)), solver=RungeKutta4(15)).build(energy)
        optimizer = torch.optim.Adam(flow.parameters(), 5e-3)
        loss.build(flow, energy)
        for step in range(400):
            centre = 2 * torch.rand(256, 1, generator=rng(step)) - 1
            data = centre + torch.randn(256, 2, generator=rng(1000 + step))
            optimizer.zero_grad()
            loss(Batch(flow, energy, 256, Given(data, centre), at=Place(step=step))).backward()
            optimizer.step()
        for centre in (torch.tensor([-1.0]), torch.tensor([1.0])):
            with torch.no_grad():
                x, log_q = flow.sample(500, rng(), context=centre)
                torch.testing.assert_close(flow.log_prob(x, context=centre), log_q, rtol=0, atol=1e-3)
            exact = -0.5 * (x - centre).square().sum(-1) - math.log(2 * math.pi)
            assert (log_q - exact).mean() < 0.05
        with pytest.raises(ValueError, match=r"needs conditions \(centre from -2 to 2\) and got none"):
            flow.sample(3, rng())
    with pytest.raises(ValueError, match="MinibatchOT would make the base depend on them"):
        FlowMatching(pairing=MinibatchOT()).build(ContinuousFlow(MLPField((8,))).build(energy), energy)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one source of noise, its base, and Linear has latent noise"):
        Diffusion(MLPField(), Linear(noise=0.1))
    with pytest.raises(ValueError, match="starts at 80 x0 \\+ 1 x1, the flow at x0: use it in a Diffusion"):
        FlowMatching(VarianceExploding()).build(ContinuousFlow(MLPField((8,))).build(DoubleWell()), DoubleWell())
    with pytest.raises(ValueError, match="trains the denoiser of a Diffusion, and ContinuousFlow has none"):
        DenoisingScoreMatching().build(ContinuousFlow(MLPField((8,))).build(DoubleWell()), DoubleWell())
    bad = [
        lambda: ReverseDiffusion(MLPField(), steps=0),
        lambda: ReverseDiffusion(MLPField(), correction_size=0.0),
        lambda: VariancePreserving(beta_min=0.0),
        lambda: VariancePreserving(cut=1.0),
        lambda: VarianceExploding(1.0, 0.5),
        lambda: VarianceExploding(rho=0.5),
    ]
    for make in bad:
        with pytest.raises(ValueError):
            make()
