"""Folded flows of molecules: one arrangement, the sum over all images, and log Z of that arrangement."""

import math

import pytest
import torch
from given_frames import value_of

from lit_bg.bases import Harmonic, Normal
from lit_bg.energies import DW4, Molecule
from lit_bg.estimators import log_z
from lit_bg.estimators.alignment import Moves
from lit_bg.generators import ContinuousFlow, FoldedFlow
from lit_bg.losses import FlowMatching
from lit_bg.losses.pairings import EquivariantOT
from lit_bg.nets import EGNN, TensorProductField
from lit_bg.solvers import RungeKutta4

WIDTH = 0.4


class Cloud(Molecule):
    """The atoms of alanine dipeptide, each in a harmonic well about the centre."""

    def potential(self, x):
        return self.kT * 0.5 * ((x - x.mean(1, keepdim=True)) / WIDTH).square().flatten(1).sum(-1)


@pytest.fixture(scope="module")
def cloud():
    return Cloud("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml"])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def wild(energy, **arguments):
    torch.manual_seed(3)
    flow = FoldedFlow(EGNN(2, 4), solver=RungeKutta4(3), scale=1.1 * WIDTH, **arguments).build(energy)
    for p in flow.field.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return flow.double().requires_grad_(False)


def images(x, folding):
    """x moved by every element of the group, (|G|, B, N, 3)."""
    found = [x, -x] if folding.mirrors else [x]
    for i, j in folding.pairs.tolist():
        order = torch.arange(x.shape[1])
        order[i], order[j] = j, i
        found += [y[:, order] for y in found]
    return torch.stack(found)


def test_samples_lie_in_one_arrangement_and_have_the_density_they_come_with(cloud):
    flow = wild(cloud)
    x, log_q = flow.sample(30, rng())
    assert log_q.isfinite().all()
    assert flow.folding.contains(x).all()
    torch.testing.assert_close(flow.log_prob(x), log_q, rtol=0, atol=1e-4)
    for other in images(x, flow.folding)[1:]:
        assert torch.isneginf(flow.log_prob(other)).all()


@pytest.mark.parametrize("prior", [Normal(), Harmonic()], ids=["normal", "harmonic"])
def test_it_is_the_flow_at_all_images(cloud, prior):
    flow = wild(cloud, prior=prior)
    x, log_q = flow.sample(8, rng())
    every = images(x, flow.folding)
    assert len(every) == 2 * 2**3  # the mirror image, three methyls
    apart = torch.stack([ContinuousFlow.log_prob(flow, image) for image in every])
    torch.testing.assert_close(log_q, apart.logsumexp(0), rtol=0, atol=1e-4)


def test_log_z_is_that_of_one_arrangement(cloud):
    """One of 16 equal ones in a cloud without a hand; 4 sigma."""
    f = cloud.space.dof
    log_Z = 0.5 * f * math.log(2 * math.pi * WIDTH**2) - math.log(16)
    flow = FoldedFlow(EGNN(1, 2), solver=RungeKutta4(1), scale=1.05 * WIDTH).build(cloud)  # at rest: a wider cloud
    x, log_q = flow.double().requires_grad_(False).sample(2_000, rng(2))
    value, error = log_z(-cloud(x) - log_q)
    assert error < 0.1
    assert abs(value - log_Z) < 4 * error


def test_proposals_whose_centres_contradict_each_other_have_no_weight():
    valine = Cloud(
        "experiments/capped_valine.pdb", forcefield=["amber96.xml"]
    )  # CA, and CB with two methyls that no exchange moves
    flow = FoldedFlow(EGNN(1, 2), solver=RungeKutta4(1), scale=WIDTH).build(valine).double().requires_grad_(False)
    x, log_q = flow.sample(500, rng())
    inside = log_q.isfinite()
    assert torch.equal(flow.folding.contains(x), inside)
    assert torch.isposinf(log_q[~inside]).all()
    assert abs(inside.double().mean().item() - 0.5) < 0.1  # 4.5 sigma


def test_pairings_use_what_is_folded(cloud):
    flow = FoldedFlow(EGNN(1, 2), prior=Harmonic()).build(cloud)
    pairing = EquivariantOT(2).build(flow.view_target(cloud))
    assert pairing.moves == Moves(types=pairing.moves.types, translations=True, rotations=True, reflections=True)
    assert torch.equal(pairing.moves.types, flow.folding.types)
    pairing.check(flow.prior, flow.field)
    loss = FlowMatching(pairing=EquivariantOT(2, sweeps=2))
    x = cloud.initial.float().expand(4, -1, -1)
    assert value_of(loss, flow, cloud, 4, x).isfinite()


def test_what_it_cannot_fold_is_refused(cloud):
    def made(**arguments):
        return FoldedFlow(**{"field": EGNN(1, 4)} | arguments)

    for flow, energy, message in (
        (made(), DW4(), "folds arrangements of molecules, and DW4 is none"),
        (made(field=TensorProductField(2, 2)), cloud, "TensorProductField does not follow mirror images"),
    ):
        with pytest.raises(ValueError, match=message):
            flow.build(energy)
    made(prior=Harmonic()).build(cloud)  # but this does
