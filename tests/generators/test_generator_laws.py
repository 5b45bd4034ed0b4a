"""Laws of every exported generator: what it samples has the density it says, and the density is one."""

import copy
import inspect
import math
import pickle

import pytest
import torch

from lit_bg import generators
from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy
from lit_bg.estimators import log_z
from lit_bg.generators import ContinuousFlow, CouplingFlow, Generator, Transport
from lit_bg.interpolants import Trigonometric, VarianceExploding
from lit_bg.nets import MLPField
from lit_bg.solvers import RungeKutta4
from lit_bg.spaces import Domain, Kind, Vectors

LINE, BOX, RING = Kind.LINEAR, Kind.BOUNDED, Kind.CIRCULAR
SMALL = {
    "CouplingFlow": [{"blocks": 2, "hidden": (12,), "bins": 5}, {"blocks": 2, "hidden": (12,), "transform": "affine"}],
    "ContinuousFlow": [{"field": MLPField((12,)), "solver": RungeKutta4(40)}],
    "FoldedFlow": [],  # of molecules only: test_folded_flow.py
    "Diffusion": [{"network": MLPField((12,)), "schedule": Trigonometric(), "solver": RungeKutta4(40)}],
    "MixtureProposal": [
        {"generators": [CouplingFlow(2, hidden=(12,), bins=5), CouplingFlow(1, hidden=(8,))], "shares": [0.7, 0.3]}
    ],
    "ReverseDiffusion": [
        {"network": MLPField((12,)), "steps": 20},
        {"network": MLPField((12,)), "schedule": VarianceExploding(0.02, 20.0), "steps": 20, "corrections": 1},
    ],
}


class Somewhere(Energy):
    """Harmonic lines, cosines on intervals [0, 3] and circles [-pi, pi]."""

    def __init__(self, *kinds):
        super().__init__()
        self.kinds = torch.tensor(kinds)
        lower, upper = torch.where(self.kinds == BOX, 0.0, -math.pi), torch.where(self.kinds == BOX, 3.0, math.pi)
        self.space = Vectors(len(kinds), Domain(self.kinds, lower, upper))

    def potential(self, x):
        return torch.where(self.kinds == LINE, x**2 / 2, torch.cos(x)).sum(-1)

    @property
    def log_Z(self):
        x = torch.linspace(0, 3, 10_001, dtype=torch.float64)
        each = {
            LINE: 0.5 * math.log(2 * math.pi),
            BOX: torch.trapezoid(torch.exp(-torch.cos(x)), x).log().item(),
            RING: math.log(2 * math.pi) + torch.special.i0(torch.tensor(1.0, dtype=torch.float64)).log().item(),
        }
        return sum(each[Kind(k)] for k in self.kinds.tolist())


ENERGIES = {
    "line": Somewhere(LINE),
    "circle": Somewhere(RING),
    "plane": DoubleWell(),
    "torus": Somewhere(RING, RING),
    "strip": Somewhere(LINE, BOX),
    "cylinder": Somewhere(RING, LINE),
    "rectangle": Somewhere(BOX, BOX),
    "everything": Somewhere(LINE, BOX, RING, RING, LINE, LINE, BOX),
}


def concrete():
    classes = (getattr(generators, name) for name in generators.__all__)
    return [c for c in classes if inspect.isclass(c) and issubclass(c, Generator) and not inspect.isabstract(c)]


def make(case, dtype=torch.float64):
    """A generator with parameters far from its start, and not so wild that a density grid misses its spikes."""
    cls, arguments, where = case
    torch.manual_seed(0)
    generator = cls(**copy.deepcopy(arguments)).build(ENERGIES[where]).double()
    for p in generator.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return generator.to(dtype)


LINES_ONLY = {"ContinuousFlow", "Diffusion", "ReverseDiffusion"}


def refused(cls, arguments, where):
    """The sentence with which a generator is expected to refuse a system, None where it must build."""
    if (ENERGIES[where].space.domain.kinds == LINE).all():
        return None
    if cls.__name__ in LINES_ONLY:
        return f"{cls.__name__} lives on lines, and Somewhere has coordinates on circles or intervals: use CouplingFlow"
    if arguments.get("transform") == "affine":
        return "Affine maps the real line, and .* coordinates are bounded or circular: use 'transform: spline'"
    return None


ALL = [(cls, a, where) for cls in concrete() for a in SMALL.get(cls.__name__, [{}]) for where in ENERGIES]
REFUSED = [case for case in ALL if refused(*case) is not None]


CASES = [case for case in ALL if refused(*case) is None]
PLANAR = [c for c in CASES if c[0].log_prob is not Generator.log_prob and ENERGIES[c[2]].space.dim <= 2]


def named(case):
    """Its own words alone: xdist's workers must agree on the names, and an object's default repr holds its address."""
    cls, arguments, where = case
    words = [str(a) if isinstance(a, str) else f"{k}{a}" for k, a in arguments.items() if isinstance(a, str | int)]
    return "-".join([cls.__name__, *words, where])


every = pytest.mark.parametrize("case", CASES, ids=named)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_exported_generator_is_under_law():
    elsewhere = {name for name, arguments in SMALL.items() if not arguments}
    assert {c.__name__ for c in concrete()} == {cls.__name__ for cls, _, _ in CASES} | elsewhere


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_what_does_not_fit_is_refused_in_a_sentence(case):
    cls, arguments, where = case
    with pytest.raises(ValueError, match=refused(*case)):
        cls(**copy.deepcopy(arguments)).build(ENERGIES[where])


@every
class TestEveryGenerator:
    def test_shapes(self, case):
        x, log_q = make(case).sample(7, rng())
        assert x.shape == (7, *ENERGIES[case[2]].event_shape)
        assert log_q.shape == (7,)
        assert x.dtype == log_q.dtype == torch.float64

    def test_same_seed_same_samples(self, case):
        generator = make(case)
        torch.manual_seed(1)  # the global state must not matter
        a = generator.sample(7, rng(3))
        torch.manual_seed(2)
        b = generator.sample(7, rng(3))
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
        assert not torch.equal(a[0], generator.sample(7, rng(4))[0])

    def test_samples_have_the_density_they_come_with(self, case):
        generator = make(case)
        if generator.has_log_prob:
            x, log_q = generator.sample(50, rng())
            torch.testing.assert_close(generator.log_prob(x), log_q, rtol=0, atol=1e-8)
            torch.testing.assert_close(generator.log_prob(x[3:4]), log_q[3:4], rtol=0, atol=1e-8)  # alone

    def test_weights_give_log_z(self, case):
        """Of a generator that has learned nothing, within 4 sigma."""
        generator, energy = make(case), ENERGIES[case[2]]
        if case[2] == "plane":
            generator.adapt(energy.exact_samples(1000, rng(1)))
        with torch.no_grad():
            x, log_q = generator.sample(4000, rng(2))
        value, error = log_z(-energy(x) - log_q)
        assert error < 0.4
        assert abs(value - energy.log_Z) < min(4 * error, 0.8)

    def test_float32_is_good_enough_for_weights(self, case):
        generator = make(case, torch.float32)
        if generator.has_log_prob:
            x, log_q = generator.sample(200, rng())
            assert (generator.log_prob(x) - log_q).abs().max() < 5e-3
            assert (make(case).log_prob(x.double()) - log_q).abs().mean() < 1e-4

    def test_samples_lie_in_the_domain(self, case):
        domain = ENERGIES[case[2]].space.domain
        x, _ = make(case).sample(200, rng())
        inside = (domain.lower - 1e-9 <= x) & (x <= domain.upper + 1e-9)
        assert (inside | (domain.kinds == LINE)).all()

    def test_nothing_lives_outside_an_interval(self, case):
        domain = ENERGIES[case[2]].space.domain
        generator = make(case)
        if generator.has_log_prob and (domain.kinds == BOX).any():
            x, _ = generator.sample(5, rng())
            x[:, domain.kinds == BOX] = 3.01
            assert torch.isneginf(generator.log_prob(x)).all()

    def test_circles_have_no_seam(self, case):
        domain = ENERGIES[case[2]].space.domain
        generator = make(case)
        if generator.has_log_prob:
            x, log_q = generator.sample(5, rng())
            torch.testing.assert_close(generator.log_prob(x + 2 * math.pi * (domain.kinds == RING)), log_q)

    def test_gradients_reach_every_parameter(self, case):
        generator = make(case)
        x, log_q = generator.sample(30, rng())
        losses = [x.square().sum() + log_q.sum()]
        if generator.has_log_prob:
            losses.append(generator.log_prob(x.detach()).sum())
        for loss in losses:
            generator.zero_grad()
            loss.backward()
            assert all(p.grad is not None and p.grad.abs().max() > 0 for p in generator.parameters())

    def test_a_state_dict_restores_it(self, case):
        cls, arguments, where = case
        generator = make(case)
        torch.manual_seed(5)
        other = cls(**copy.deepcopy(arguments)).build(ENERGIES[where]).double()
        other.load_state_dict(generator.state_dict())
        for a, b in zip(generator.sample(7, rng()), other.sample(7, rng()), strict=True):
            assert torch.equal(a, b)

    def test_copies_and_pickles_are_the_same(self, case):
        generator = make(case)
        x, log_q = generator.sample(7, rng())
        for other in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
            assert torch.equal(other.sample(7, rng())[0], x)
            assert torch.equal(other.sample(7, rng())[1], log_q)
            assert not {id(p) for p in other.parameters()} & {id(p) for p in generator.parameters()}


@pytest.mark.parametrize("case", PLANAR, ids=named)
def test_density_integrates_to_one(case):
    """Midpoint rule, up to kinks of the splines: exact to about 2e-3. A smooth density needs fewer points."""
    generator, domain = make(case), ENERGIES[case[2]].space.domain
    reach = generator.sample(5000, rng())[0].abs().max(0).values * 1.5
    n = (20_000, 400, 400, 80)[2 * (domain.dim - 1) + isinstance(generator, ContinuousFlow)]
    lower = torch.where(domain.kinds == LINE, -reach, domain.lower.double())
    width = torch.where(domain.kinds == LINE, reach, domain.upper.double()) - lower
    ticks = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    grid = lower + width * torch.cartesian_prod(*[ticks] * domain.dim).reshape(-1, domain.dim)
    with torch.no_grad():
        total = torch.cat([generator.log_prob(part) for part in grid.split(60_000)]).exp().mean() * width.prod()
    assert total.item() == pytest.approx(1, abs=4e-3)


@pytest.mark.parametrize("case", [c for c in CASES if issubclass(c[0], Transport)], ids=named)
def test_a_transport_is_a_bijection_with_the_ladj_of_its_jacobian(case):
    generator = make(case)
    z, _ = generator.prior.sample(10, rng())
    x, ladj = generator(z)
    back, ladj_back = generator.inverse(x)
    difference = torch.where(ENERGIES[case[2]].space.domain.kinds == RING, (back - z + 1) % 2 - 1, back - z)
    assert difference.abs().max() < 1e-8
    torch.testing.assert_close(ladj_back, -ladj, rtol=0, atol=1e-8)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda z: generator(z)[0][0], z[i : i + 1])[:, 0]
        torch.testing.assert_close(ladj[i], torch.linalg.slogdet(jacobian)[1], rtol=0, atol=1e-8)
