"""Laws of losses, and the function that runs all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lit_bg.data.sources import Source, WeightedFrames
from lit_bg.energies import DoubleWell
from lit_bg.energies.base import Energy
from lit_bg.generators import ContinuousFlow, CouplingFlow, Diffusion
from lit_bg.generators.base import Generator
from lit_bg.losses import Batch, Loss, WeightedSum
from lit_bg.nets import MLPField
from lit_bg.rng import Place
from lit_bg.solvers import RungeKutta4
from lit_bg.testing.law import Checked, DoesNotApply, Law, require, require_refusal, run_laws, seeded
from lit_bg.testing.proposals import require_gradients

STEP = 1e-6  # along a random direction of all parameters
SLOPE = 1e-4  # relative error of the gradient


@dataclass(frozen=True)
class LossCase:
    """Holds a loss, what it trains, and on what.

    Args:
        loss: not built; copies are tried.
        generator: built for the energy.
        energy: the system.
        frames: training frames (n, *shape); None: exact samples of the system, if the loss needs data.
        size: of the batch.
        reached: share of parameters that a gradient must reach.
    """

    loss: Loss
    generator: Generator
    energy: Energy
    frames: Tensor | None = None
    size: int = 40
    reached: float = 1.0

    @property
    def name(self) -> str:
        """Return what messages call the loss."""
        return type(self.loss).__name__

    def build(self, loss: Loss | None = None, dtype: torch.dtype = torch.float32) -> tuple[Loss, Generator]:
        """Return a copy of a loss, built for a copy of the generator."""
        generator = copy.deepcopy(self.generator).to(dtype)
        return copy.deepcopy(self.loss if loss is None else loss).build(generator, self.energy), generator

    def batch(self, loss: Loss, generator: Generator, step: int = 0, source: Source | None = None) -> Batch:
        """Return the batch of a step, with frames if the loss needs any."""
        if source is None and loss.needs_data:
            source = GivenFrames(self.data(next(generator.parameters()).dtype), self.context)
        place, follows = Place(seed=3, step=step), loss.follows_proposals
        return Batch(generator, self.energy, self.size, source, place, follows, loss.per_condition)

    def data(self, dtype: torch.dtype) -> Tensor:
        """Return the training frames."""
        if self.frames is None and not self.energy.has_exact_samples:
            raise DoesNotApply(
                f"{self.name} learns from frames, and {type(self.energy).__name__} has no exact samples: give frames="
            )
        x = self.energy.exact_samples(2 * self.size, seeded(7)) if self.frames is None else self.frames
        return x.to(dtype)

    @property
    def context(self) -> Tensor | None:
        """Return the conditions of all frames, (C,)."""
        return self.energy.default_context if self.energy.conditions else None

    def value(self, step: int = 0) -> Tensor:
        """Return the loss of the batch of a step."""
        loss, generator = self.build()
        return loss(self.batch(loss, generator, step))


class GivenFrames(Source):
    """Draws frames with replacement, with weights if there are any.

    Args:
        x: (n, *shape).
        context: conditions of all, (C,).
        weight: (n,) of mean one; None: all even.
        all_of_them: whether a draw is all frames in order instead.
    """

    def __init__(
        self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None, all_of_them: bool = False
    ) -> None:
        self.x, self.context, self.all_of_them = x, context, all_of_them
        self.weight, self.even = (torch.ones(len(x), dtype=x.dtype) if weight is None else weight.to(x)), weight is None

    def draw(self, n: int, rng: torch.Generator) -> WeightedFrames:
        k = torch.arange(n) % len(self.x) if self.all_of_them else torch.randint(len(self.x), (n,), generator=rng)
        context = None if self.context is None else self.context.to(self.x).expand(n, -1)
        return WeightedFrames(self.x[k], self.weight[k], context, self.even)


def be_a_finite_number(case: LossCase) -> None:
    """Require that the loss is a finite scalar, and its parts are scalars without a graph."""
    loss, generator = case.build()
    value = loss(case.batch(loss, generator))
    require(value.shape == (), f"{case.name} has shape {tuple(value.shape)} and must be a scalar: take the mean over the batch")
    require(torch.isfinite(value), f"{case.name} is {float(value.detach()):.4g} and must be finite")
    for name, part in loss.parts().items():
        require(part.shape == (), f"part '{name}' of {case.name} has shape {tuple(part.shape)} and must be a scalar")
        require(not part.requires_grad, f"part '{name}' of {case.name} has a graph: detach it")


def teach_every_parameter(case: LossCase) -> None:
    """Require that the gradient reaches the parameters of the generator and is finite."""
    loss, generator = case.build()
    value = loss(case.batch(loss, generator))
    require(value.requires_grad, f"{case.name} has no graph: nothing can learn from it")
    value.sum().backward()
    require_gradients(case.name, generator, case.reached)


def have_the_gradient(case: LossCase) -> None:
    """Require that the gradient is the derivative along a random direction of all parameters, in float64.

    A loss that does not follow its proposals has the derivative with these held fixed.
    """
    loss, generator = case.build(dtype=torch.float64)
    batch = case.batch(loss, generator)
    value = loss(batch)
    value.backward()
    trained = [p for p in generator.parameters() if p.requires_grad]
    direction = [torch.randn(p.shape, generator=seeded(1), dtype=p.dtype) for p in trained]
    slope = sum(float((p.grad * d).sum()) for p, d in zip(trained, direction, strict=True) if p.grad is not None)
    ends = []
    for sign in (1, -1):
        moved_loss, moved = case.build(dtype=torch.float64)
        with torch.no_grad():
            for p, d in zip((p for p in moved.parameters() if p.requires_grad), direction, strict=True):
                p.add_(sign * STEP * d)
        moved_batch = case.batch(moved_loss, moved)
        if not moved_loss.follows_proposals:
            moved_batch.proposals = batch.proposals
        ends.append(float(moved_loss(moved_batch).detach()))
    difference = (ends[0] - ends[1]) / (2 * STEP)
    limit = SLOPE * abs(difference) + 1e-6 + 1e-14 * abs(float(value.detach())) / STEP  # and rounding
    require(
        abs(slope - difference) <= limit,
        f"the gradient of {case.name} along a random direction is {slope:.6g} and the finite difference {difference:.6g}, "
        f"apart by more than {limit:.2g}",
    )


def obey_random_numbers(case: LossCase) -> None:
    """Require that the same step gives the same loss, whatever the global state and other calls, and another step another."""
    torch.manual_seed(1)
    first = float(case.value().detach())
    torch.manual_seed(2)
    again = float(case.value().detach())
    require(first == again, f"{case.name} is {first:.9g} and then {again:.9g} on one batch: draw with batch.rng(purpose) alone")
    other = float(case.value(step=1).detach())
    require(first != other, f"{case.name} is {first:.9g} in two steps: draw with batch.rng(purpose), from proposals or frames")


class Bystander(Loss):
    """Stands for another term of a sum, which draws proposals and noise of its own."""

    def forward(self, batch: Batch) -> Tensor:
        noise = torch.randn(batch.size, generator=batch.rng("noise"))
        return (batch.proposals.log_q + noise).mean()


def draw_for_themselves(case: LossCase) -> None:
    """Require that the loss beside another term is what it is alone: every draw has an address of its own."""
    values, others = [], []
    for terms in ([case.loss], [case.loss, Bystander()], [Bystander(), case.loss]):
        total, generator = case.build(WeightedSum(copy.deepcopy(terms), [1.0] * len(terms)))
        assert isinstance(total, WeightedSum)
        total(case.batch(total, generator))
        values.append(float(total.parts()[case.name]))
        if len(terms) > 1:
            others.append(float(total.parts()[Bystander.__name__]))
    gap, limit = max(values) - min(values), 1e-6 * (1 + abs(values[0]))
    require(
        gap <= limit,
        f"{case.name} is {values[0]:.9g} alone, {values[1]:.9g} before and {values[2]:.9g} after another term: draw with "
        "batch.rng(purpose), and look at nothing that others may have drawn",
    )
    after, before = others
    require(
        abs(after - before) <= 1e-6 * (1 + abs(before)),
        f"another term is {before:.9g} before {case.name} and {after:.9g} after it: leave the batch as it is",
    )


def build_once(case: LossCase) -> None:
    """Require that `build` returns the loss, which knows generator and energy but owns neither; `forward` does not build."""
    fresh = copy.deepcopy(case.loss)
    require_refusal(f"generator of {case.name} before build", lambda: fresh.generator, RuntimeError)
    generator = copy.deepcopy(case.generator)
    require(fresh.build(generator, case.energy) is fresh, f"build of {case.name} must return the loss itself")
    require(fresh.generator is generator, f"{case.name}.generator is not what it was built for: call super().build")
    require(fresh.energy is case.energy, f"{case.name}.energy is not what it was built for: call super().build")
    theirs = {id(p) for p in (*generator.parameters(), *generator.buffers(), *case.energy.buffers())}
    own = [name for name, p in (*fresh.named_parameters(), *fresh.named_buffers()) if id(p) in theirs]
    require(
        not own,
        f"{case.name} takes {', '.join(own[:3])} of the generator or the energy for its own, so checkpoints have it twice",
    )
    with count_builds(fresh) as builds:
        for _ in range(2):
            fresh(case.batch(fresh, generator))
    require(not builds, f"{case.name} calls build in forward: take what it needs in build, once")


@contextmanager
def count_builds(loss: Loss) -> Iterator[list[int]]:
    """Give a list that grows with every call of `build` of one loss."""
    right = loss.build
    calls: list[int] = []

    def build(generator: Generator, energy: Energy) -> Loss:
        calls.append(1)
        return right(generator, energy)

    vars(loss)["build"] = build
    try:
        yield calls
    finally:
        del vars(loss)["build"]


def weigh_frames(case: LossCase) -> None:
    """Require that a frame of weight zero teaches nothing, and that even weights are like none."""
    if not case.loss.needs_data:
        raise DoesNotApply(f"{case.name} needs no frames")
    x = case.data(torch.float32)[: case.size]
    n = len(x)
    weight = torch.zeros(n)
    weight[: n // 2] = n / (n // 2)
    moved = torch.where((weight > 0).reshape(-1, *[1] * (x.ndim - 1)), x, x.roll(1, 0) + 0.5)

    def value(frames: Tensor, w: Tensor | None) -> float:
        loss, generator = case.build()
        return float(loss(case.batch(loss, generator, source=GivenFrames(frames, case.context, w, all_of_them=True))))

    try:
        half, other = value(x, weight), value(moved, weight)
    except ValueError as refusal:
        raise DoesNotApply(f"{case.name} refuses frames with weights: {refusal}") from refusal
    limit = 1e-5 * (1 + abs(half))
    require(
        abs(half - other) <= limit,
        f"{case.name} changes from {half:.6g} to {other:.6g} with frames of weight 0: weigh every frame by frames.weight",
    )
    plain, even = value(x, None), value(x, torch.ones(n))
    require(
        abs(plain - even) <= 1e-5 * (1 + abs(plain)),
        f"{case.name} is {plain:.6g} without weights and {even:.6g} with weights of 1",
    )


LOSS_LAWS: dict[str, Law[LossCase]] = {
    "finite number": be_a_finite_number,
    "gradient reaches": teach_every_parameter,
    "gradient": have_the_gradient,
    "random numbers": obey_random_numbers,
    "beside others": draw_for_themselves,
    "built once": build_once,
    "weights of frames": weigh_frames,
}


def check_loss(
    loss: Loss, generator: Generator | None = None, energy: Energy | None = None, skip: Collection[str] = (), **how: Any
) -> Checked:
    """Run every law of losses on one loss and say all that it breaks.

    Args:
        loss: not built yet; copies are tried.
        generator: built for the energy; None: the first of a small coupling flow, continuous flow and diffusion that it takes.
        energy: the system; None: the double well in the plane.
        skip: names of laws, keys of `LOSS_LAWS`, to leave out.
        how: further arguments of `LossCase`: frames, size, reached.

    Returns:
        the laws that held, and those that say nothing about this loss, with the reason.

    Raises:
        AssertionError: laws that are broken, with what is wrong, the value and the limit, one sentence each.
        ValueError: a generator without its system, a generator that the loss refuses, or a name in `skip` that no law has.

    >>> from lit_bg.losses import ReverseKL
    >>> "gradient" in check_loss(ReverseKL()).held
    True
    """
    if energy is None:
        if generator is not None:
            raise ValueError("a generator is built for a system: give check_loss the energy, too.")
        energy = DoubleWell()
    if generator is None:
        generator = find_generator(loss, energy)
    else:
        copy.deepcopy(loss).build(generator, energy)
    return run_laws(LOSS_LAWS, LossCase(loss, generator, energy, **how), type(loss).__name__, skip)


def find_generator(loss: Loss, energy: Energy) -> Generator:
    """Return a small generator that the loss takes, with parameters far from where they begin.

    Raises:
        ValueError: it takes none.
    """
    steps = RungeKutta4(4)
    makers: list[Callable[[], Generator]] = [
        lambda: CouplingFlow(blocks=1, hidden=(8,)),
        lambda: ContinuousFlow(MLPField((8,)), solver=steps),
        lambda: Diffusion(MLPField((8,)), solver=steps),
    ]
    refusals: list[str] = []
    for make in makers:
        generator = make().build(energy)
        with torch.no_grad():
            for p in generator.parameters():
                p.copy_(0.2 * torch.randn(p.shape, generator=seeded(len(refusals))))
        try:
            copy.deepcopy(loss).build(generator, energy)
        except ValueError as refusal:
            refusals.append(str(refusal))
        else:
            return generator
    raise ValueError(f"{type(loss).__name__} takes none of the small generators: give check_loss one. {' '.join(refusals)}")
