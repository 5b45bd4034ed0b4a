"""The RC loss: zero for uniform proposals, and it makes them so."""

import math

import pytest
import torch
from given_frames import value_of

from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy, Observable
from lit_bg.generators import CouplingFlow, Generator
from lit_bg.losses import Batch, ReactionCoordinate
from lit_bg.rng import Place
from lit_bg.spaces import Domain, Kind, Vectors


class Line(Energy):
    space = Vectors(1)

    def potential(self, x):
        return 0 * x.sum(-1)

    @property
    def observables(self):
        return {
            "r": Observable(lambda x: x[:, 0], range=(-2.0, 2.0)),
            "angle": Observable(lambda x: x[:, 0], range=(-math.pi, math.pi), periodic=True),
            "bare": Observable(lambda x: x[:, 0]),
        }


class Ring(Line):
    space = Vectors(1, Domain(torch.tensor([Kind.CIRCULAR]), torch.tensor([-math.pi]), torch.tensor([math.pi])))


class Fixed(Generator):
    """Proposes what it was given."""

    def __init__(self, r):
        super().__init__()
        self.x = torch.nn.Parameter(r[:, None])

    def build(self, energy):
        return self

    def sample(self, n, rng, context=None):
        return self.x, torch.zeros(len(self.x))


def loss_of(r, observable="r", **options):
    generator = Fixed(r)
    loss = value_of(ReactionCoordinate(observable, **options), generator, Line(), len(r))
    loss.backward()
    return loss.item(), generator.x.grad[:, 0]


def spread(n, a=-2.0, b=2.0):
    return a + (b - a) * (torch.arange(n) + 0.5) / n


def test_zero_for_uniform_and_more_for_anything_else():
    assert loss_of(spread(500))[0] == pytest.approx(0, abs=1e-3)
    assert loss_of(spread(500, -math.pi, math.pi), "angle")[0] == pytest.approx(0, abs=1e-3)
    assert loss_of(spread(500, -1, 1))[0] > 0.3  # half the range: log 2 less what the kernel blurs
    assert loss_of(2 * spread(500).div(2) ** 3)[0] > 0.2


def test_is_the_kernel_estimate_of_its_formula():
    r = torch.tensor([0.1, 0.5, 0.55, 0.9], dtype=torch.float64)
    sigma = 1 / 7
    kernels = torch.distributions.Normal(0.0, sigma)
    images = torch.stack([r, -r, 2 - r])
    p = kernels.log_prob(r[:, None, None] - images).exp().sum((1, 2)) / 4
    assert loss_of(-2 + 4 * r, bins=7)[0] == pytest.approx(p.log().mean().item(), abs=1e-6)


def test_histogram_is_the_entropy_of_the_authors_code():
    r, K = spread(50, -1.5, 0.3), 11
    grid = torch.linspace(-2, 2, K)
    assign = torch.exp(-((r[:, None] - grid) ** 2) / (2 * (4 / K) ** 2)) + 1e-6
    h = (assign / assign.sum(1, keepdim=True)).mean(0)
    assert loss_of(r, estimate="histogram")[0] == pytest.approx(-h.log().sum().item(), rel=1e-4)


@pytest.mark.parametrize("estimate", ["density", "histogram"])
def test_pushes_apart_and_not_beyond_the_range(estimate):
    _, grad = loss_of(torch.cat([spread(50, -0.2, 0.2), torch.tensor([2.5])]), estimate=estimate)
    assert grad[0] > 0 > grad[49]  # descent carries the ends of the lump outwards
    assert grad[-1] == 0


def test_a_periodic_coordinate_has_no_ends():
    lump = spread(200, -0.5, 0.5)
    across = lump + math.pi
    across = torch.where(across > math.pi, across - 2 * math.pi, across)
    assert loss_of(across, "angle")[0] == pytest.approx(loss_of(lump, "angle")[0], abs=1e-4)


@pytest.mark.parametrize("energy", [pytest.param(Line(), id="line", marks=pytest.mark.slow), pytest.param(Ring(), id="ring")])
def test_training_on_it_alone_makes_the_coordinate_uniform(energy):
    torch.manual_seed(0)
    flow = CouplingFlow(blocks=1, bins=8).build(energy)
    if isinstance(energy, Ring):  # start as a lump, not uniform
        torch.nn.init.normal_(flow.stack.transforms[0].params, std=1.0)
    loss = ReactionCoordinate("angle" if isinstance(energy, Ring) else "r", bins=11)
    optimizer, rng = torch.optim.Adam(flow.parameters(), 0.03), torch.Generator().manual_seed(0)
    loss.build(flow, energy)
    for step in range(300):
        optimizer.zero_grad()
        loss(Batch(flow, energy, 256, at=Place(step=step))).backward()
        optimizer.step()
    lower, upper = energy.observables[loss.name].range
    x, _ = flow.sample(10_000, rng)
    inside = x[(x > lower) & (x < upper)]
    counts = torch.histc(inside, 8, lower, upper)
    assert len(inside) > 9000
    assert (counts / len(inside) - 1 / 8).abs().max() < 0.03  # 9 sigma of counting: what the kernel does not resolve


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: ReactionCoordinate("phi").build(None, DoubleWell()),
            r"DoubleWell has no observable 'phi' for ReactionCoordinate: it has x1, P\(x1<0\)",
        ),
        (lambda: ReactionCoordinate("bare").build(None, Line()), "'bare' of Line has no range"),
        (lambda: ReactionCoordinate("r", range=(1.0, 1.0)), r"lower < upper, got \[1.0, 1.0\]"),
        (lambda: ReactionCoordinate("r", bins=1), "at least two bins, got bins=1"),
    ],
)
def test_what_cannot_work_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()
