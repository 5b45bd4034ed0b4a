"""Diagnosis of independent populations of weighted particles: what they say, and whether they agree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lit_bg.diagnostics.averages import Average, average_without, circular_mean, independent_mean
from lit_bg.diagnostics.findings import Estimate, Findings
from lit_bg.diagnostics.knowledge import Knowledge
from lit_bg.diagnostics.modes import share_by_mean
from lit_bg.diagnostics.proposals import MAPPED, Density
from lit_bg.energies.base import Energy
from lit_bg.estimators import (
    Tail,
    average,
    count_ancestors,
    effective_ancestors,
    ess,
    log_norm,
    populations_disagree,
    tail,
)
from lit_bg.evaluate import tabulate
from lit_bg.samples import Populations, Table


@dataclass(frozen=True, kw_only=True)
class PopulationFindings(Findings):
    """Holds all that populations say.

    Attributes:
        populations, particles: how many, and of how many particles each.
        ancestors: distinct ones of particles with weight, in all populations.
        families: effective number of ancestors, by the weight of their descendants.
        ess: Kish, as a fraction of all particles.
        worth: effective number of populations, by their estimates of Z.
        max_weight: largest share of one particle.
        weights: the estimate of log Z, with the tail of the weights.
        copies: populations that are another one over again.
        split: names of the averages, and "log Z", on which populations differ by more than their families explain.
        density: how far the log density can be believed that the first generation came with.
    """

    what = "particles"

    populations: int
    particles: int
    ancestors: int
    families: float
    ess: float
    worth: float
    max_weight: float
    weights: Estimate
    copies: int = 0
    split: tuple[str, ...] = ()
    density: Density = field(default_factory=Density)

    @property
    def n(self) -> float:
        """Return the number of particles in all populations."""
        return self.populations * self.particles

    @property
    def effective(self) -> float:
        """Return the effective number of ancestors, or of particles where that is less."""
        return min(self.families, self.ess * self.n)

    @property
    def log_Z(self) -> Estimate:
        return self.weights

    @property
    def proper(self) -> bool:
        return self.density.proper

    @property
    def normalised(self) -> str | None:
        return None if self.density.defect is None else f"of the first generation {MAPPED}"


def diagnose_populations(
    energy: Energy, populations: Populations, knowledge: Knowledge, density: Density | None = None
) -> PopulationFindings:
    """Diagnose populations from their numbers alone.

    Args:
        energy: the system.
        populations: of one sampler, independent of each other.
        knowledge: of the target: populations of modes tell which are lost.
        density: how far the log density can be believed that the first generation came with.
    """
    shape = populations.log_w.shape
    flat = populations.x.reshape(-1, *energy.space.shape)
    with torch.no_grad():
        table = Table(*(column.cpu() for column in tabulate(energy, flat)))
    inside = table.inside.reshape(shape)
    log_w, u = populations.log_w.detach().cpu().double(), populations.u.detach().cpu()
    dead = torch.isnan(log_w) | ~torch.isfinite(u)
    log_w = torch.where(dead | ~inside, -torch.inf, log_w)
    ancestor = populations.ancestor.cpu()
    seen = torch.isfinite(log_w)
    label = torch.where(seen, table.label.reshape(shape), -1)
    weights, log_z_each = log_w.flatten(), torch.logsumexp(log_w, 1)

    def mean(a: Tensor) -> tuple[float, float]:
        return average(a, log_w, "populations", ancestor)

    averages, without, split = {}, {}, []
    if populations_disagree(log_w, ancestor):
        split.append("log Z")
    names = energy.modes.names if energy.modes is not None else ()
    for (name, observable), a in zip(energy.observables.items(), table.a.T.reshape(-1, *shape), strict=True):
        length = observable.period
        value, error = circular_mean(a, observable, mean)
        raw, raw_error = circular_mean(a[seen], observable, independent_mean) if seen.any() else (math.nan, math.nan)
        if length is not None and math.isfinite(value):
            a = torch.remainder(a - value + length / 2, length) + value - length / 2  # about its mean, where it has no seam
        averages[name] = Average(raw, raw_error, value, error, tail(weights, a.flatten()), observable.unit, length)
        without[name] = average_without(a.flatten(), label.flatten(), weights, names, length)
        if populations_disagree(log_w, ancestor, a):
            split.append(f"<{name}>")
    families = effective_ancestors(log_w, ancestor)
    shares = None
    if energy.modes is not None:

        def count(event: Tensor) -> float:
            return effective_ancestors(log_w, ancestor, event)

        shares = share_by_mean(names, label, mean, count, families, knowledge.expected)
        split += [f"P({name})" for k, name in enumerate(names) if populations_disagree(log_w, ancestor, (label == k).double())]
    z, z_error = log_norm(log_w, "populations", ancestor)
    return PopulationFindings(
        n_nonfinite=int((dead & inside).sum()),
        n_outside=int((~inside).sum()),
        averages=averages,
        without=without,
        modes=shares,
        populations=shape[0],
        particles=shape[1],
        ancestors=count_ancestors(log_w, ancestor),
        families=families,
        ess=ess(weights),
        worth=ess(log_z_each) * shape[0],
        max_weight=torch.softmax(weights, 0).max().item() if seen.any() else math.nan,
        weights=Estimate(z, z_error, tail(weights) if seen.any() else Tail(math.nan, math.inf, math.nan)),
        copies=_count_copies(populations.x, log_z_each),
        split=tuple(split),
        density=Density() if density is None else density,
    )


def _count_copies(x: Tensor, log_z: Tensor) -> int:
    """Count populations with the particles and the estimate of one before."""
    pairs = torch.nonzero(torch.triu(log_z[:, None] == log_z, 1)).tolist()
    return len({j for i, j in pairs if torch.equal(x[i], x[j])})
