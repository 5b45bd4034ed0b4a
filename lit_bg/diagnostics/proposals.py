"""Diagnosis of one pooled evaluation of proposals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from lit_bg.diagnostics.averages import average_without, reweight_average
from lit_bg.diagnostics.density import DensityDefect
from lit_bg.diagnostics.findings import Estimate, Findings
from lit_bg.diagnostics.independence import EffectiveDraws, find_repeats, serial_inefficiency
from lit_bg.diagnostics.knowledge import Knowledge
from lit_bg.diagnostics.modes import share_modes
from lit_bg.diagnostics.weights import Forward, Weights, look_back, weigh
from lit_bg.energies.base import Energy
from lit_bg.evaluate import tabulate
from lit_bg.samples import Evaluation

MAPPED = "log q is the density of the base minus log|det| of the map"


@dataclass(frozen=True)
class Density:
    """Says how far log q can be believed.

    Attributes:
        exact: log q is no random estimate.
        variance: of the estimate, where it is one.
        shift, scatter: of log_prob(x) - log q over some proposals, median and root mean square about it; None where the density
            of a given configuration is not tractable.
        worst: largest such difference; inf where log_prob gives a proposal no density.
        compared: how many were.
        defect: log q against the density of the base and the Jacobian of the map; None where the generator is no transport from
            a base known to be normalised, or where that was not looked at.
        solver: log q and log_prob go through a solver of differential equations, whose errors differ in both directions.
        relative: log q is known up to a constant, as where only weights are given.
    """

    exact: bool = True
    variance: float | None = None
    shift: float | None = None
    scatter: float | None = None
    worst: float | None = None
    compared: int = 0
    defect: DensityDefect | None = None
    solver: bool = False
    relative: bool = False

    @property
    def proper(self) -> bool:
        """Return whether log q is known to be the density that the proposals come from, as that of a map from its base is."""
        return self.defect is not None and self.defect.agrees


@dataclass(frozen=True, kw_only=True)
class ProposalFindings(Findings):
    """Holds all that one evaluation says of a generator.

    Attributes:
        independence: how many of the proposals count.
        weights, forward: both directions of the weights; forward None without reference data.
        density: how far log q can be believed.
    """

    what = "proposals"

    independence: EffectiveDraws
    weights: Weights
    density: Density = field(default_factory=Density)
    forward: Forward | None = None

    @property
    def n(self) -> float:
        """Return the number of independent proposals."""
        return self.independence.left

    @property
    def effective(self) -> float:
        return self.weights.ess * self.n

    @property
    def log_Z(self) -> Estimate | None:
        return None if self.density.relative else Estimate(self.weights.log_Z, self.weights.log_Z_error, self.weights.tail)

    @property
    def proper(self) -> bool:
        """Return whether log q is known to be the density that the proposals come from, as that of a map from its base is."""
        return self.density.proper

    @property
    def normalised(self) -> str | None:
        return None if self.density.defect is None else MAPPED

    @property
    def reaches_data(self) -> bool:
        return self.forward is not None


def diagnose(
    energy: Energy,
    evaluation: Evaluation,
    knowledge: Knowledge,
    density: Density | None = None,
) -> ProposalFindings:
    """Diagnose an evaluation from its numbers alone.

    Repeated proposals are counted once, and correlation in the order of drawing widens every error bar.

    Args:
        energy: the system, for the names of observables and modes.
        evaluation: pooled over batches and ranks, proposals in the order of drawing; the reference as in `Evaluation`.
        knowledge: of the target: populations tell which modes are lost.
        density: how far log q can be believed; by default what the evaluation itself holds of it.
    """
    proposals = evaluation.proposals
    table = evaluation.table or tabulate(energy, proposals.x)
    inside = table.inside.cpu()
    finite = proposals.finite.cpu()
    log_w = torch.where(inside, proposals.log_w.detach().cpu().double(), -torch.inf)
    distinct = ~find_repeats(proposals.x) if energy.space.continuous else torch.ones_like(inside)  # of few states some recur
    kept = torch.nonzero(distinct).flatten().to(proposals.x.device)
    g = serial_inefficiency(proposals.x[kept], proposals.u[kept], proposals.log_q[kept])
    independence = EffectiveDraws(len(log_w), int(distinct.sum()), g, energy.space.dim)
    log_w = log_w[distinct]
    a, label = table.a.cpu()[distinct], table.label.cpu()[distinct]
    weights = weigh(log_w, g)
    label = torch.where(torch.isfinite(log_w), label, -1)
    names = energy.modes.names if energy.modes is not None else None
    shares = None
    if names is not None:
        shares = share_modes(names, label, log_w, knowledge.expected, g)
    observables = energy.observables
    averages = {name: reweight_average(a[:, i], log_w, o, g) for i, (name, o) in enumerate(observables.items())}
    without = {
        name: average_without(a[:, i], label, log_w, names or (), o.period) for i, (name, o) in enumerate(observables.items())
    }
    return ProposalFindings(
        independence=independence,
        n_nonfinite=int((~finite & distinct & inside).sum()),
        n_outside=int((~inside & distinct).sum()),
        weights=weights,
        density=compare_densities(evaluation) if density is None else density,
        forward=_forward(evaluation, weights, int(independence.left)),
        averages=averages,
        without=without,
        modes=shares,
    )


def compare_densities(evaluation: Evaluation, defect: DensityDefect | None = None) -> Density:
    """Say how far log q can be believed: by comparing what came with some proposals with `log_prob` of the same.

    Args:
        evaluation: holds both for some proposals, or neither, and says whether log q is a random estimate.
        defect: of `density_defect`.
    """
    exact, solver = evaluation.exact_density, evaluation.field_evaluations is not None
    variance = None if exact or evaluation.variance is None else evaluation.variance.double().mean().item()
    pair = evaluation.densities
    if pair is not None:
        pair = pair[torch.isfinite(pair[:, 0])].double().cpu()
    if pair is None or len(pair) == 0:
        return Density(exact, variance, defect=defect, solver=solver)
    difference = (pair[:, 1] - pair[:, 0]).nan_to_num(torch.inf, torch.inf, -torch.inf)
    known = difference[torch.isfinite(difference)]
    shift = known.median().item() if len(known) else math.inf
    scatter = (known - shift).square().mean().sqrt().item() if len(known) else math.inf
    return Density(exact, variance, shift, scatter, difference.abs().max().item(), len(pair), defect, solver)


def _forward(evaluation: Evaluation, weights: Weights, n: int) -> Forward | None:
    reference = evaluation.reference
    if reference is None or len(reference.x) == 0:
        return None
    log_w = -reference.u.double() - reference.log_q.double()  # a frame that q gives no density has w = +inf, 1/w = 0
    log_w = log_w.detach().cpu()
    walker = evaluation.walker
    if walker is not None:
        counts = torch.unique_consecutive(walker.cpu(), return_counts=True)[1]
        if len(counts) > 1:  # walkers of one length, for an error that knows them
            length = int(counts.min())
            starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
            log_w = log_w[starts + torch.arange(length)[:, None]]
    return look_back(log_w, weights.log_Z, n)
