"""Laws of every exported loss: a finite scalar whose gradient reaches the generator, the same for the same stream."""

import inspect

import pytest
import torch
from given_frames import value_of

from lit_bg import losses
from lit_bg.energies import DoubleWell
from lit_bg.generators import ContinuousFlow, CouplingFlow, Diffusion
from lit_bg.interpolants import Linear
from lit_bg.losses import (
    DenoisingScoreMatching,
    FlowMatching,
    ForwardKL,
    Loss,
    ReactionCoordinate,
    ReverseKL,
    ReweightedKL,
    WeightedSum,
)
from lit_bg.losses.pairings import MinibatchOT
from lit_bg.nets import MLPField
from lit_bg.solvers import RungeKutta4
from lit_bg.testing import LOSS_LAWS, DoesNotApply, LossCase

ENERGY = DoubleWell()
CASES = {
    "DenoisingScoreMatching": DenoisingScoreMatching,
    **{f"DenoisingScoreMatching, {w}": lambda w=w: DenoisingScoreMatching(w) for w in ("denoiser", "noise", "likelihood")},
    "FlowMatching": FlowMatching,
    "FlowMatching, noisy and paired": lambda: FlowMatching(Linear(noise=0.3), MinibatchOT()),
    "ForwardKL": ForwardKL,
    "ReverseKL": ReverseKL,
    "ReverseKL, cut": lambda: ReverseKL(cut=5.0),
    "ReactionCoordinate": lambda: ReactionCoordinate("x1", range=(-3.0, 3.0)),
    "ReactionCoordinate, histogram": lambda: ReactionCoordinate("x1", estimate="histogram"),
    "ReweightedKL": ReweightedKL,
    "ReweightedKL, balanced": lambda: ReweightedKL(0.3),
    "WeightedSum": lambda: WeightedSum([ForwardKL(), ReverseKL()], [1.0, [(0, 0.1), (10, 1.0)]]),
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def generator_for(case):
    torch.manual_seed(0)
    if case.startswith("Denoising"):
        made = Diffusion(MLPField((8,)), solver=RungeKutta4(4)).build(ENERGY)
    elif case.startswith("FlowMatching"):
        made = ContinuousFlow(MLPField((8,)), solver=RungeKutta4(4)).build(ENERGY)
    else:
        made = CouplingFlow(blocks=1, hidden=(8,)).build(ENERGY)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return made


def test_every_exported_loss_is_under_law():
    classes = (getattr(losses, name) for name in losses.__all__)
    concrete = {c.__name__ for c in classes if inspect.isclass(c) and issubclass(c, Loss) and not inspect.isabstract(c)}
    assert concrete == {type(make()).__name__ for make in CASES.values()}


@pytest.mark.parametrize("law", LOSS_LAWS)
@pytest.mark.parametrize("case", CASES)
def test_every_loss_obeys_every_law(case, law):
    loss, frames = CASES[case](), ENERGY.exact_samples(50, rng(7))
    try:
        LOSS_LAWS[law](LossCase(loss, generator_for(case), ENERGY, frames))
    except DoesNotApply:
        assert law == "weights of frames"
        assert not loss.needs_data or "paired" in case
        raise


def test_flow_matching_asks_for_a_velocity_and_data():
    with pytest.raises(ValueError, match="trains the velocity of a ContinuousFlow, and CouplingFlow has none"):
        FlowMatching().build(generator_for("ForwardKL"), ENERGY)
    with pytest.raises(ValueError, match=r"there are no data: set data\.path or data\.source"):
        value_of(FlowMatching(), generator_for("FlowMatching"), ENERGY, 8)


@pytest.mark.parametrize("case", CASES)
def test_a_loss_has_no_parameters_or_state(case):
    loss = CASES[case]().build(generator_for(case), ENERGY)
    assert not list(loss.parameters())
    assert not loss.state_dict()
