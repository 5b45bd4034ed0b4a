"""Evaluation of a generator: one call of generator and energy for everything that it is judged by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.cost import Cost
from lit_bg.samples import Evaluation, Frames, Samples, Table, draw, usual_context

if TYPE_CHECKING:
    from lit_bg.energies.base import Energy
    from lit_bg.generators.base import Generator

FEW = 64  # proposals whose log q is asked for again,
FEW_THROUGH_A_SOLVER = 16  # fewer where it costs as much as the proposals
ESTIMATED = 100  # proposals whose log q is estimated twice more, where it is an estimate


class Till:
    """Counts what is paid for an evaluation while it lasts."""

    def __init__(self, generator: Generator, energy: Energy) -> None:
        self.generator, self.energy = generator, energy
        self.began, self.bill = time.monotonic(), (energy.n_values, energy.n_gradients)
        self.densities = self.field_evaluations = 0

    def passed(self, n: int, times: int = 1) -> None:
        """Count a pass of n configurations through the generator, or several such."""
        self.densities += times * n
        self.field_evaluations += times * n * (self.generator.evaluations or 0)

    @property
    def cost(self) -> Cost:
        """Return what was paid so far."""
        energies, gradients = self.energy.n_values - self.bill[0], self.energy.n_gradients - self.bill[1]
        return Cost(
            energies=energies,
            gradients=gradients,
            densities=self.densities,
            field_evaluations=self.field_evaluations,
            seconds=time.monotonic() - self.began,
        )


def evaluate(
    generator: Generator, energy: Energy, n: int, rng: torch.Generator, held: Frames | None = None, twice: bool = True
) -> Evaluation:
    """Draw proposals and look at reference frames: everything that a generator is judged by, detached, with its cost.

    All of it under the usual conditions of the energy, where there are any: those of the reference frames.

    Args:
        generator: it is judged.
        energy: the system it was built for.
        n: proposals.
        rng: of the proposals, and after them of the variance of log q where that is an estimate.
        held: reference frames that were not trained on.
        twice: ask for log q of some proposals again, by `log_prob`, where there is one: the two must be one function.

    Raises:
        FloatingPointError: an energy is -inf.
    """
    till = Till(generator, energy)
    with torch.no_grad():
        proposals = draw(generator, energy, n, rng, usual_context(generator, energy))
    till.passed(n)
    evaluations = generator.evaluations  # before `log_prob` counts its own
    evaluation = _look(generator, energy, proposals, rng, held, twice, till)
    return evaluation._replace(field_evaluations=evaluations)


def examine(
    generator: Generator,
    energy: Energy,
    proposals: Samples,
    rng: torch.Generator,
    held: Frames | None = None,
    twice: bool = True,
) -> Evaluation:
    """Look at proposals that are there, and at reference frames, as `evaluate` does; for the arguments see there.

    Args:
        proposals: of the generator, drawn under the usual conditions.
        rng: of the variance of log q where that is an estimate.
    """
    return _look(generator, energy, proposals, rng, held, twice, Till(generator, energy))


@torch.no_grad()
def _look(
    generator: Generator,
    energy: Energy,
    proposals: Samples,
    rng: torch.Generator,
    held: Frames | None,
    twice: bool,
    till: Till,
) -> Evaluation:
    context, x = usual_context(generator, energy), proposals.x
    densities, reference, variance = None, None, None
    if generator.has_log_prob and twice:
        few = FEW_THROUGH_A_SOLVER if generator.evaluations is not None else FEW
        pick = torch.linspace(0, len(x) - 1, min(len(x), few), device=x.device).long()
        again = generator.log_prob(x[pick], context)
        densities = torch.stack([proposals.log_q[pick], again], -1).double()
        till.passed(len(pick))
    if generator.has_log_prob and held is not None:
        reference = Samples(held.x, generator.log_prob(held.x, context), held.u)
        till.passed(len(held.x))
    evaluations = generator.evaluations
    if not generator.exact_density:
        estimated = x[proposals.finite][:ESTIMATED]
        variance = generator.log_prob_variance(estimated, rng, context)
        till.passed(len(estimated), 0 if variance is None else 2)
    return Evaluation(
        proposals,
        reference,
        evaluations,
        densities,
        None if reference is None or held is None else held.frame,
        None if reference is None or held is None else held.walker,
        generator.exact_density,
        variance,
        cost=till.cost,
    )


def tabulate(energy: Energy, x: Float[Tensor, "B *shape"]) -> Table:
    """Return what a diagnosis needs to know of configurations, a row each.

    Args:
        energy: the system.
        x: configurations, (B, *event_shape), where the energy lives.
    """
    a = [o.function(x).to(torch.float64) for o in energy.observables.values()]
    modes = energy.modes
    return Table(
        torch.stack(a, -1) if a else torch.zeros(len(x), 0, dtype=torch.float64, device=x.device),
        torch.zeros(len(x), dtype=torch.long, device=x.device) - 1 if modes is None else modes.label(x),
        energy.in_region(x),
    )
