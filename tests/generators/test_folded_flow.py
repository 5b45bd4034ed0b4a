"""Folded flows of molecules: one arrangement, twice the density, and log Z of that arrangement."""

import math

import pytest
import torch

from lit_bg.energies import DW4, Molecule
from lit_bg.estimators import log_z
from lit_bg.generators import ContinuousFlow, FoldedFlow, Harmonic
from lit_bg.molecules.chirality import hand
from lit_bg.nets import EGNN, TensorProductField
from lit_bg.solvers import RungeKutta4

WIDTH = 0.4


class Cloud(Molecule):
    """The atoms of alanine dipeptide, each in a harmonic well about the centre."""

    def potential(self, x):
        return self.kT * 0.5 * ((x - x.mean(1, keepdim=True)) / WIDTH).square().flatten(1).sum(-1)


@pytest.fixture(scope="module")
def cloud():
    return Cloud("experiments/alanine_dipeptide.pdb", ["amber96.xml"])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def wild(energy, **arguments):
    torch.manual_seed(3)
    flow = FoldedFlow(EGNN(2, 4), solver=RungeKutta4(6), scale=1.1 * WIDTH, **arguments).build(energy)
    for p in flow.field.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return flow.double().requires_grad_(False)


def mirrored(x):
    return x * torch.tensor([1.0, -1.0, 1.0], dtype=x.dtype)


def test_samples_lie_in_one_half_and_have_the_density_they_come_with(cloud):
    flow = wild(cloud)
    x, log_q = flow.sample(60, rng())
    inside = log_q.isfinite()
    assert 0 < inside.sum() < 60
    assert torch.equal(hand(x, cloud.structure) == 1, inside)
    assert torch.isposinf(log_q[~inside]).all()
    torch.testing.assert_close(flow.log_prob(x[inside]), log_q[inside], rtol=0, atol=1e-4)
    assert torch.isneginf(flow.log_prob(mirrored(x[inside]))).all()
    assert torch.isneginf(flow.log_prob(x[~inside])).all()


def test_it_is_the_flow_at_both_images(cloud):
    flow = wild(cloud)
    x, log_q = flow.sample(60, rng())
    x, log_q = x[log_q.isfinite()], log_q[log_q.isfinite()]
    both = torch.stack([ContinuousFlow.log_prob(flow, image) for image in (x, mirrored(x))])
    torch.testing.assert_close(log_q, both.logsumexp(0), rtol=0, atol=1e-4)


def test_log_z_is_that_of_one_arrangement(cloud):
    """Against the share of exact samples that lie in it; 4 sigma of both."""
    n, f = 200_000, cloud.degrees_of_freedom
    exact = WIDTH * torch.randn(n, *cloud.event_shape, generator=rng(1), dtype=torch.float64)
    share = (hand(exact, cloud.structure) == 1).double().mean().item()
    log_Z = 0.5 * f * math.log(2 * math.pi * WIDTH**2) + math.log(share)
    flow = FoldedFlow(EGNN(1, 2), solver=RungeKutta4(1), scale=1.05 * WIDTH).build(cloud)  # at rest: a wider cloud
    x, log_q = flow.double().requires_grad_(False).sample(2_000, rng(2))
    value, error = log_z(torch.where(log_q.isfinite(), -cloud(x) - log_q, -torch.inf))
    assert error < 0.1
    assert abs(value - log_Z) < 4 * math.hypot(error, math.sqrt((1 - share) / (share * n)))


def test_what_it_cannot_fold_is_refused(cloud):
    def made(**arguments):
        return FoldedFlow(**{"field": EGNN(1, 4)} | arguments)

    for flow, energy, message in (
        (made(), DW4(), "folds mirror images of molecules, and DW4 is none"),
        (made(field=TensorProductField(2, 2)), cloud, "TensorProductField tells mirror images apart"),
    ):
        with pytest.raises(ValueError, match=message):
            flow.build(energy)
    made(prior=Harmonic()).build(cloud)  # but this does
