"""CouplingFlow: what it starts as, what it refuses, how YAML names it."""

import math

import pytest
import torch
from jsonargparse import ArgumentParser

from lit_bg import spaces
from lit_bg.bases import Canonical
from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy
from lit_bg.generators import CouplingFlow, Generator
from lit_bg.spaces import Domain, Kind, Vectors
from lit_bg.transforms import Coupling, Standardize, Whitening


class Cluster(Energy):
    def __init__(self, *shape):
        super().__init__()
        self.space = spaces.Particles(*shape)

    def potential(self, x):
        return x.flatten(1).square().sum(-1)


class Torus(Energy):
    space = Vectors(2, Domain(torch.full((2,), int(Kind.CIRCULAR)), -torch.ones(2), torch.ones(2)))

    def potential(self, x):
        return torch.cos(math.pi * x).sum(-1)


class Mixed(Energy):
    """Three lines, two intervals and two circles."""

    kinds = torch.tensor([Kind.LINEAR] * 3 + [Kind.BOUNDED] * 2 + [Kind.CIRCULAR] * 2)
    space = Vectors(7, Domain(kinds, -torch.ones(7), torch.ones(7)))

    def potential(self, x):
        return x.square().sum(-1)


def rng():
    return torch.Generator().manual_seed(0)


def test_starts_as_its_prior_seen_through_the_chart():
    flow = CouplingFlow(blocks=2, coordinates=Standardize(loc=1.0, scale=2.0)).build(DoubleWell(3))
    x = torch.randn(9, 3, generator=rng())
    gauss = torch.distributions.Normal(1.0, 2.0).log_prob(x).sum(-1)
    torch.testing.assert_close(flow.log_prob(x), gauss)


def test_prior_density():
    prior = Canonical().on(Vectors(3, Domain.canonical(torch.tensor([0, 1, 2]))))
    z, log_p = prior.sample(20_000, rng())
    torch.testing.assert_close(log_p, -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi) - 2 * math.log(2))
    sigma = torch.tensor([1.0, 3**-0.5, 3**-0.5]) / math.sqrt(20_000)
    assert (z.mean(0).abs() < 4 * sigma).all()
    assert ((z.var(0) - torch.tensor([1.0, 1 / 3, 1 / 3])).abs() < 4 * torch.tensor([1.42, 0.3, 0.3]) / 141).all()
    assert torch.isneginf(prior.log_prob(torch.tensor([[0.0, 1.1, 0.0]]))).all()


def test_a_block_moves_every_coordinate_once():
    flow = CouplingFlow(blocks=1, hidden=(4,)).build(DoubleWell(7))
    moved = sum(len(layer.map.kinds) for layer in flow.stack.transforms if isinstance(layer, Coupling))
    assert moved == 7
    for p in flow.parameters():
        torch.nn.init.normal_(p)
    z = torch.randn(50, 7, generator=rng())
    assert ((flow.stack(z)[0] - z).abs().mean(0) > 0.05).all()


def test_splits_do_not_depend_on_the_global_seed():
    torch.manual_seed(0)
    a = CouplingFlow(blocks=3).build(DoubleWell(6)).state_dict()
    torch.manual_seed(1)
    b = CouplingFlow(blocks=3).build(DoubleWell(6)).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a if name.endswith("order"))


def test_adapts_to_data_and_keeps_it():
    x = 3 + 2 * torch.randn(500, 2, generator=rng())
    for chart in (None, Whitening()):
        flow = CouplingFlow(blocks=1, coordinates=chart).build(DoubleWell())
        flow.adapt(x)
        fresh = CouplingFlow(blocks=1, coordinates=type(flow.coordinates)()).build(DoubleWell())
        fresh.load_state_dict(flow.state_dict())
        torch.testing.assert_close(fresh.sample(9, rng())[0], flow.sample(9, rng())[0])
        drawn = flow.sample(4000, rng())[0]
        assert (drawn.mean(0) - 3).abs().max() < 4 * 2 / math.sqrt(500) + 4 * 2 / math.sqrt(4000)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: CouplingFlow().build(Cluster(22, 3)),
            "takes 66 coordinates on their own, and Cluster has 22 particles in 3 dimensions, of which 63 are degrees",
        ),
        (lambda: CouplingFlow().build(Cluster(4, 2)), "and Cluster has 4 particles in 2 dimensions, of which 6 are"),
        (lambda: CouplingFlow(transform="affine").build(Torus()), "use 'transform: spline'"),
        (lambda: CouplingFlow(blocks=0), "at least one block, got blocks=0"),
        (lambda: CouplingFlow(bins=1).build(DoubleWell()), "between 2 and 100 bins, got bins=1"),
        (lambda: CouplingFlow(hidden=(8, 0)).build(DoubleWell()), "at least one unit"),
    ],
)
def test_what_cannot_work_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_yaml_names_it_and_is_checked():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--generator", type=Generator)
    arguments = {"blocks": 3, "hidden": [16, 16], "coordinates": {"class_path": "Standardize", "init_args": {"scale": 2}}}
    config = {"generator": {"class_path": "CouplingFlow", "init_args": arguments}}
    flow = parser.instantiate_classes(parser.parse_object(config)).generator
    assert (flow.blocks, flow.hidden, flow.coordinates.start) == (3, (16, 16), (0.0, 2.0))
    arguments["transform"] = "splin"
    with pytest.raises(Exception, match="splin"):
        parser.parse_object(config)


@pytest.mark.filterwarnings("error:torch.compile of")
@pytest.mark.slow
def test_compiled_is_eager():
    """Value, log density and gradient; the same names in the state dict; copies share the code."""
    energy = DoubleWell(4)
    torch.manual_seed(0)
    eager = CouplingFlow(blocks=1, hidden=(8,), bins=3).build(energy).double()
    for p in eager.parameters():
        torch.nn.init.normal_(p, std=0.5)
    compiled = CouplingFlow(blocks=1, hidden=(8,), bins=3, compile=True).build(energy).double()
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    compiled.load_state_dict(eager.state_dict())
    results = []
    for flow in (eager, compiled):
        x, log_q = flow.sample(64, rng())
        (x.square().sum() + log_q.sum() + flow.log_prob(x.detach()).sum()).backward()
        results.append([x, log_q, flow.log_prob(x), *(p.grad for p in flow.parameters())])
        with torch.no_grad():
            results[-1] += flow.sample(64, rng())
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    import copy
    import pickle

    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        torch.testing.assert_close(other.sample(64, rng())[0], results[1][0])


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 50])
def test_compiled_single_precision_is_eager_double_precision(batch):
    """On lines (tails too), intervals and circles, at the first call and after a step of training."""
    torch.manual_seed(0)
    flow = CouplingFlow(blocks=1, hidden=(9, 8), bins=4, compile=True).build(Mixed())
    exact = CouplingFlow(blocks=1, hidden=(9, 8), bins=4).build(Mixed())
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    for _ in range(2):
        exact.double().load_state_dict(flow.state_dict())
        with torch.no_grad():
            x, log_q = flow.sample(batch, rng())
            x[0, :3] = torch.tensor([12.0, -9.0, 0.5])  # beyond the splines
            torch.testing.assert_close(log_q[1:].double(), exact.log_prob(x[1:].double()), rtol=1e-6, atol=1e-4)
        for each, at in ((flow, x), (exact, x.double())):
            each.zero_grad()
            log_prob = each.log_prob(at)
            log_prob.mean().backward()
        torch.testing.assert_close(flow.log_prob(x).double(), log_prob, rtol=1e-6, atol=1e-4)
        for (name, p), q in zip(flow.named_parameters(), exact.parameters(), strict=True):
            torch.testing.assert_close(p.grad.double(), q.grad, rtol=1e-3, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")
        torch.optim.SGD(flow.parameters(), 1e-5).step()
