"""A loss that spreads proposals along a reaction coordinate."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Observable
from lit_bg.generators.base import Generator
from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch
from lit_bg.losses.drought import NothingFinite

NOTHING = -1e30  # the logarithm of a kernel that does not count: finite, so that gradients are numbers


class ReactionCoordinate(Loss):
    r"""Minimises $J_{RC} = \langle \log p(r(x)) \rangle_q$, which is least when the proposals are uniform in r over a range.

    With r scaled to [0, 1] and $\sigma = 1 / bins$,

    * "density": $p(r) = \frac1B \sum_j N(r; r_j, \sigma^2)$ over the batch, with the kernels mirrored at the
      two ends, or carried around where r is periodic, so that a uniform r gives a uniform p and
      $J = 0$. The cost grows as the square of the batch.
    * "histogram": the estimate of the authors' code, $-\sum_k \log h_k$ with $h_k$ the mean
      assignment to Gaussian kernels on a grid. It is bins times the cross-entropy to a uniform histogram:
      another scale, so a weight is not portable between the two.

    A value beyond the range counts at its end and is not pushed further. The trained proposals are not
    Boltzmann distributed; their weights repair it. The batch should be much larger than `bins`. Under conditions p(r) is that
    of the proposals under one set of them, 64 or more, and J the mean over sets.

    Args:
        observable: name of the coordinate among `energy.observables`.
        range: the interval of r; None: the range of the observable.
        bins: resolution.
        estimate: "density" or "histogram".

    Raises:
        ValueError: a range or number of bins that makes no histogram; from `build`, an unknown observable.
        FloatingPointError: from the call, no proposal has a finite value (NothingFinite).

    References:
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147, and the
        authors' code.
    """

    per_condition = 64

    def __init__(
        self,
        observable: str,
        range: tuple[float, float] | None = None,
        bins: int = 11,
        estimate: Literal["density", "histogram"] = "density",
    ) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"ReactionCoordinate needs at least two bins, got bins={bins}.")
        if range is not None and not (math.isfinite(range[1] - range[0]) and range[0] < range[1]):
            raise ValueError(f"ReactionCoordinate needs a range [lower, upper] with lower < upper, got {list(range)}.")
        self.name = observable
        self.range = range
        self.bins = bins
        self.estimate = estimate
        self.observable: Observable | None = None

    def build(self, generator: Generator, energy: Energy) -> Self:
        known = energy.observables
        if self.name not in known:
            raise ValueError(
                f"{type(energy).__name__} has no observable '{self.name}' for ReactionCoordinate: it has "
                f"{', '.join(known) or 'none'}."
            )
        if self.range is None and known[self.name].range is None:
            raise ValueError(f"'{self.name}' of {type(energy).__name__} has no range: give ReactionCoordinate one.")
        self.observable = known[self.name]
        return super().build(generator, energy)

    def forward(self, batch: Batch) -> Tensor:
        assert self.observable is not None, "build(generator, energy) comes first"
        lower, upper = self.range or self.observable.range or (0.0, 1.0)
        r = (self.observable.function(batch.proposals.x) - lower) / (upper - lower)
        finite = torch.isfinite(r)
        if not bool(finite.any()):  # a host read: whether to go on depends on it
            raise NothingFinite(
                f"none of {batch.size} proposals has a finite '{self.name}': {type(self.generator).__name__} has diverged, so "
                "lower the learning rate, or clip gradients (trainer.gradient_clip_val)."
            )
        r = torch.where(finite, r, 0.5).clamp(0.0, 1.0).reshape(batch.groups, -1)
        finite = finite.reshape(r.shape)
        if self.estimate == "histogram":
            return _histogram_entropy(r, finite, self.bins)
        # A periodic r closes only if the range is the whole circle.
        closed = self.observable.periodic and (lower, upper) == self.observable.range
        log_p = _log_density(r, finite, 1 / self.bins, closed)
        return torch.where(finite, log_p, 0.0).sum() / finite.sum()


def _log_density(r: Tensor, finite: Tensor, sigma: float, closed: bool) -> Tensor:
    """Return log p(r_i) of the kernel estimate on [0, 1] from the finite values of a group, (G, n)."""
    images = [r, r - 1, r + 1] if closed else [r, -r, 2 - r]
    difference = r[:, :, None] - torch.cat(images, 1)[:, None]
    log_norm = (sigma * math.sqrt(2 * math.pi) * finite.sum(1, keepdim=True).clamp_min(1)).log()
    log_kernel = torch.where(finite.repeat(1, 3)[:, None], -0.5 * (difference / sigma) ** 2, NOTHING)
    return torch.logsumexp(log_kernel, 2) - log_norm


def _histogram_entropy(r: Tensor, finite: Tensor, bins: int) -> Tensor:
    """Return -sum_k log h_k, mean over groups (G, n)."""
    centres = torch.linspace(0.0, 1.0, bins, dtype=r.dtype, device=r.device)
    kernel = torch.exp(-0.5 * ((r[..., None] - centres) * bins) ** 2) + 1e-6
    assigned = torch.where(finite[..., None], kernel / kernel.sum(2, keepdim=True), 0.0)
    n = finite.sum(1)
    h = torch.where(n[:, None] > 0, assigned.sum(1) / n.clamp_min(1)[:, None], 1.0)
    return -h.log().sum() / (n > 0).sum()
