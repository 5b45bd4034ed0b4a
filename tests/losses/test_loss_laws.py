"""Laws of every exported loss: a finite scalar whose gradient reaches the generator, the same for the same stream."""

import copy
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
from lit_bg.nets import MLPField
from lit_bg.pairings import MinibatchOT
from lit_bg.solvers import RungeKutta4

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
every = pytest.mark.parametrize("case", CASES)


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


def value(loss, generator, seed=0):
    data = ENERGY.exact_samples(50, rng(7)) if loss.needs_data else None
    return value_of(loss, generator, ENERGY, 40, data, seed)


def test_every_exported_loss_is_under_law():
    classes = (getattr(losses, name) for name in losses.__all__)
    concrete = {c.__name__ for c in classes if inspect.isclass(c) and issubclass(c, Loss) and not inspect.isabstract(c)}
    assert concrete == {type(make()).__name__ for make in CASES.values()}


@every
def test_is_a_finite_scalar_whose_gradient_reaches_the_generator(case):
    generator, loss = generator_for(case), CASES[case]()
    result = value(loss, generator)
    assert result.shape == ()
    assert torch.isfinite(result)
    result.backward()
    assert all(torch.isfinite(p.grad).all() for p in generator.parameters())
    assert any(p.grad.abs().max() > 0 for p in generator.parameters())
    assert all(part.shape == () and not part.requires_grad for part in loss.parts().values())


@every
def test_same_stream_same_loss(case):
    loss = CASES[case]()
    assert value(loss, generator_for(case), seed=3) == value(copy.deepcopy(loss), generator_for(case), seed=3)
    if not isinstance(loss, ForwardKL):
        assert value(loss, generator_for(case), seed=3) != value(loss, generator_for(case), seed=4)


@pytest.mark.parametrize("case", [case for case in CASES if "ReweightedKL" not in case])  # its proposals are held fixed
def test_gradient_is_the_derivative(case):
    """Along a random direction, by central differences in float64."""
    generator, loss = generator_for(case).double(), CASES[case]()
    direction = [torch.randn(p.shape, generator=rng(1), dtype=p.dtype) for p in generator.parameters()]

    def shifted(h):
        moved = copy.deepcopy(generator)
        with torch.no_grad():
            for p, d in zip(moved.parameters(), direction, strict=True):
                p += h * d
        return value(loss, moved).item()

    value(loss, generator).backward()
    slope = sum((p.grad * d).sum() for p, d in zip(generator.parameters(), direction, strict=True)).item()
    assert slope == pytest.approx((shifted(1e-6) - shifted(-1e-6)) / 2e-6, rel=1e-4, abs=1e-6)


def test_flow_matching_asks_for_a_velocity_and_data():
    with pytest.raises(ValueError, match="trains the velocity of a ContinuousFlow, and CouplingFlow has none"):
        FlowMatching().build(generator_for("ForwardKL"), ENERGY)
    with pytest.raises(ValueError, match=r"there are no data: set data\.path or data\.source"):
        value_of(FlowMatching(), generator_for("FlowMatching"), ENERGY, 8)


@every
def test_neither_generator_nor_energy_become_its_own(case):
    generator, loss = generator_for(case), CASES[case]()
    with pytest.raises(RuntimeError, match="was not built: call build"):
        _ = loss.generator
    value(loss, generator)
    assert loss.generator is generator
    assert loss.energy is ENERGY
    assert not list(loss.parameters())
    assert not loss.state_dict()
