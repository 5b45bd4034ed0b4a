"""Configurations with the numbers on which everything a user trusts rests: draws, chains, populations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lit_bg.cost import Cost

Dependence = Literal["draws", "chains", "populations"]  # what samples know of each other, as estimators need to be told

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class Samples(NamedTuple):
    """Holds configurations with everything that reweighting needs.

    `log_q` is proper with respect to the reference measure of the system (see `Generator`), so that
    E_q[exp(log_w)] = Z.

    >>> s = Samples(torch.zeros(2, 1), log_q=torch.tensor([-1.0, -1.0]), u=torch.tensor([0.5, float("nan")]))
    >>> s.log_w  # a configuration without a finite energy has weight zero
    tensor([0.5000,   -inf])
    """

    x: Float[Tensor, "B *shape"]
    log_q: Float[Tensor, "B"]  # [nats]
    u: Float[Tensor, "B"]  # [kT]

    @property
    def finite(self) -> Bool[Tensor, "B"]:
        """Say of which configurations energy and density are finite, (B,) bool."""
        return torch.isfinite(self.u) & torch.isfinite(self.log_q)

    @property
    def log_w(self) -> Float[Tensor, "B"]:
        """Return unnormalised log weights -u - log_q, (B,) [nats]; -inf where the energy is NaN or +inf."""
        return torch.where(self.finite, -self.u - self.log_q, -torch.inf)

    @property
    def dependence(self) -> Dependence:
        return "draws"

    @property
    def ancestor(self) -> None:
        """Return None: there are no families."""
        return None

    def detach(self) -> Samples:
        return Samples(self.x.detach(), self.log_q.detach(), self.u.detach())

    @classmethod
    def cat(cls, parts: list[Samples]) -> Samples:
        """Join several sets of samples into one."""
        return cls(*(torch.cat(p) for p in zip(*parts, strict=True)))


class Chains(NamedTuple):
    """Holds correlated samples of the target: frames of walkers that moved side by side by kernels that keep exp(-u).

    Where the walkers started says what their agreement is worth: walkers that all began in one mode agree on anything.
    """

    x: Float[Tensor, "T W *shape"]  # in order of time
    u: Float[Tensor, "T W"]  # [kT]
    start: Float[Tensor, "W *shape"] | None = None  # where every walker began, before any burn-in

    @property
    def log_w(self) -> Float[Tensor, "T W"]:
        """Return the log weights of the frames, (T, W): all equal, of an unknown norm."""
        return torch.zeros_like(self.u, dtype=torch.float64)

    @property
    def dependence(self) -> Dependence:
        return "chains"

    @property
    def ancestor(self) -> None:
        """Return None: there are no families."""
        return None


class Populations(NamedTuple):
    r"""Holds weighted particles of several independent populations, as sequential Monte Carlo leaves them.

    Weights are absolute: their mean over a population is an unbiased estimate of Z, and
    $\sum_{pi} w_{pi} f(x_{pi}) / \sum_{pi} w_{pi}$ one of the average of f, consistent in the number of populations. Those of
    one population share ancestors and are not independent, so errors are those between populations.
    """

    x: Float[Tensor, "P N *shape"]
    log_w: Float[Tensor, "P N"]  # [nats], -inf for a weight of zero
    u: Float[Tensor, "P N"]  # [kT]
    ancestor: Int[Tensor, "P N"]  # the particle of the first generation, in its population, that each descends from

    @property
    def log_Z(self) -> Float[Tensor, "P"]:
        """Return the estimates of the populations, (P,) float64."""
        return torch.logsumexp(self.log_w.double(), 1) - math.log(self.log_w.shape[1])

    @property
    def dependence(self) -> Dependence:
        return "populations"


class Proposing(Protocol):
    """Proposes configurations with their log density, as every `Generator` does."""

    @property
    def context(self) -> int:
        """Return the number of conditions that `sample` needs."""

    def sample(
        self, n: int, rng: torch.Generator, context: Float[Tensor, "... C"] | None = None
    ) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, "n"]]:
        """Return `n` configurations (n, *event_shape) and their log q, (n,) [nats]."""


def draw(
    generator: Proposing, energy: Target, n: int, rng: torch.Generator, context: Float[Tensor, "... C"] | None = None
) -> Samples:
    """Draw `n` proposals with their log density and reduced energy, each generated once and evaluated once.

    Both are given the conditions `context`, (C,) or (n, C), by default the usual ones of the energy, where there are any.

    Outside the region that the target covers the energy is +inf, so that the weight is zero.

    Raises:
        FloatingPointError: an energy is -inf. A bounded system has none, so it is a bug in the energy.
    """
    context = usual_context(generator, energy) if context is None else context
    return with_energies(energy, *generator.sample(n, rng, context), context)


def with_energies(
    energy: Target, x: Float[Tensor, "n *shape"], log_q: Float[Tensor, "n"], context: Float[Tensor, "... C"] | None = None
) -> Samples:
    """Return proposals (n, *event_shape) with their reduced energies, +inf outside the region that the target covers.

    Raises:
        FloatingPointError: an energy is -inf. A bounded system has none, so it is a bug in the energy.
    """
    samples = Samples(x, log_q, torch.where(energy.in_region(x), energy.conditioned(x, context), torch.inf))
    if torch.isneginf(samples.u).any():
        raise FloatingPointError(
            f"{type(energy).__name__} gave u = -inf for {int(torch.isneginf(samples.u).sum())} of {len(x)} proposals: "
            "an energy must be bounded from below, so mend the energy (weights cannot repair it)."
        )
    return samples


def usual_context(generator: Proposing, energy: Target) -> Float[Tensor, "C"] | None:
    """Return the conditions under which a generator is judged where none are given, (C,); None where it follows none."""
    return energy.default_context if generator.context else None


class Table(NamedTuple):
    """Holds what is asked of every configuration alone: observables, modes, the region of the target."""

    a: Float[Tensor, "B A"]  # float64, an observable of the energy each, in their order
    label: Int[Tensor, "B"]  # index of the mode; -1 for none
    inside: Bool[Tensor, "B"]  # whether the target covers it


class Evaluation(NamedTuple):
    """Holds what one validation or test step, or all steps and ranks together, hand to the observers: nothing is drawn twice.

    It carries everything that is asked of a generator or an energy, so that a diagnostic is a pure function of it.
    """

    proposals: Samples  # drawn from the (averaged) generator, in the order of drawing
    reference: Samples | None = None  # held-out reference data under the same generator; None without data
    field_evaluations: float | None = None  # per proposal, for generators that integrate a vector field
    densities: Float[Tensor, "K 2"] | None = None  # log q as it came with some of the proposals, and log_prob of the same
    frame: Int[Tensor, "n"] | None = None  # index of the reference frames in the held-out data
    walker: Int[Tensor, "n"] | None = None  # walker of the reference frames, which are in order of time within it
    exact_density: bool = True  # whether log q is no random estimate
    variance: Float[Tensor, "K"] | None = None  # of log q at some proposals, where it is a random estimate that tells
    table: Table | None = None  # of the proposals, where it was asked for already
    cost: Cost = Cost()


class Frames(NamedTuple):
    """Holds reference configurations of the target."""

    x: Float[Tensor, "B *shape"]
    u: Float[Tensor, "B"]  # [kT]
    frame: Int[Tensor, "B"]  # index in the data they are from, where the frames of a walker are in order of time
    walker: Int[Tensor, "B"]
