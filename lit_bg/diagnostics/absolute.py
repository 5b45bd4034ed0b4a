"""The free energy of one target, from a generator's proposals and from frames of the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.estimators import (
    Bounds,
    Convergence,
    bar,
    bar_overlap,
    bar_terms,
    bootstrap,
    bootstrap_error,
    both_directions,
    forward_log_z,
    group_frames,
    log_z,
    statistical_inefficiency,
    subsample,
    work_bounds,
)

RESAMPLED = 100  # data sets of a bootstrap


class Parts(NamedTuple):
    """Holds the same estimate from independent parts of the data."""

    n: int
    mean: float
    deviation: float  # standard deviation between parts

    @property
    def error(self) -> float:
        """Return the standard error of all parts together."""
        return self.deviation / math.sqrt(self.n)


class FreeEnergy(NamedTuple):
    """Holds a free energy with its errors by three methods, which are never mixed [kT]."""

    value: float
    analytic: float
    bootstrap: float
    parts: Parts | None  # None where there are too few data for it

    @property
    def error(self) -> float:
        """Return the largest of the errors, which is the one to believe."""
        return max(self.analytic, self.bootstrap, self.parts.error if self.parts is not None else 0.0)

    def minus(self, other: FreeEnergy) -> FreeEnergy:
        """Return the difference to an independent estimate, its errors the roots of sums of squares."""
        parts = None
        if self.parts is not None and other.parts is not None and self.parts.n == other.parts.n:
            deviation = math.hypot(self.parts.deviation, other.parts.deviation)
            parts = Parts(self.parts.n, self.parts.mean - other.parts.mean, deviation)
        analytic, spread = math.hypot(self.analytic, other.analytic), math.hypot(self.bootstrap, other.bootstrap)
        return FreeEnergy(self.value - other.value, analytic, spread, parts)


@dataclass(frozen=True)
class Absolute:
    r"""Holds the free energy -ln Z of a target [kT], in the reference measure of its space.

    Attributes:
        proposals, unreached: how many there are, and how many have no weight (no finite energy, or outside the region).
        lfep: from proposals alone, $-\ln \langle w \rangle_q$.
        reverse: from frames alone, $\ln \langle 1/w \rangle_\pi$; None without frames, as all that follows.
        bar: from both, Bennett's acceptance ratio between the generator and the target.
        bounds: mean works of both directions.
        overlap: of the generator and the target, 1/2 at most (see `bar_overlap`).
        frames, independent: how many there are, and how many are left of them by their statistical inefficiency.
        inefficiency: frames per independent frame.
        failed: why there is no `bar` though there are frames.
        convergence: of `bar`, or without it of `lfep`.
        kept: which frames are left, as times (T',).
    """

    proposals: int
    unreached: int
    lfep: FreeEnergy
    reverse: FreeEnergy | None
    bar: FreeEnergy | None
    bounds: Bounds | None
    overlap: float | None
    frames: int
    independent: int
    inefficiency: float
    failed: str | None
    convergence: Convergence
    kept: Tensor

    @property
    def best(self) -> FreeEnergy:
        """Return the estimate from the most data: that of both directions where there is one."""
        return self.lfep if self.bar is None else self.bar


def estimate_absolute(
    forward: Float[Tensor, "n"], reverse: Float[Tensor, "T W"] | None, repeats: int, rng: torch.Generator
) -> Absolute:
    r"""Return every estimate of the free energy of a target that works allow.

    Frames are thinned by the statistical inefficiency of their terms in `bar` before anything but the reverse LFEP and the
    bounds, which know of correlation themselves. Parts are stretches of proposals and of (thinned) frames.

    Args:
        forward: $-\log w$ of proposals, (n,) [kT]; +inf where the weight is zero.
        reverse: $\log w$ of frames, (T, W) in order of time [kT]; +inf where the generator has no density.
        repeats: independent parts.
        rng: of the bootstrap.
    """
    lfep = _estimate(_lfep, _lfep_alone, (forward,), (None,), repeats, rng)
    unreached = int(torch.isposinf(forward).sum())
    if reverse is None:
        nothing = torch.empty(0, dtype=torch.long)
        steady = both_directions(lambda start, stop: _lfep(_slice(forward, start, stop)))
        return Absolute(len(forward), unreached, lfep, None, None, None, None, 0, 0, math.nan, None, steady, nothing)
    kept, inefficiency, failed = _thin(forward, reverse)
    thinned = reverse[kept]
    works, group = thinned.flatten(), group_frames(*thinned.shape).flatten()
    value, error = forward_log_z(reverse)
    backward = _estimate(lambda _: (-value, error), lambda works: -_lfep_alone(works), (works,), (group,), repeats, rng)
    both, overlap = None, None
    if failed is None:
        both = _estimate(bar, lambda *works: bar(*works)[0], (forward, works), (None, group), repeats, rng)
        overlap = bar_overlap(forward, works, both.value)
    steady = both_directions(
        (lambda start, stop: bar(_slice(forward, start, stop), _slice(works, start, stop)))
        if both is not None
        else lambda start, stop: _lfep(_slice(forward, start, stop))
    )
    return Absolute(
        proposals=len(forward),
        unreached=unreached,
        lfep=lfep,
        reverse=backward,
        bar=both,
        bounds=None if failed is not None else work_bounds(forward, reverse),
        overlap=overlap,
        frames=reverse.numel(),
        independent=thinned.numel(),
        inefficiency=inefficiency,
        failed=failed,
        convergence=steady,
        kept=kept,
    )


def _thin(forward: Tensor, reverse: Tensor) -> tuple[Tensor, float, str | None]:
    """Return times to keep, frames per independent frame, and why the states cannot be compared."""
    every = torch.arange(len(reverse))
    try:
        value, _ = bar(forward, reverse.flatten())
    except ValueError as error:
        return every, 1.0, str(error)
    terms = bar_terms(forward, reverse.flatten(), value)[1].reshape(reverse.shape)
    g = min(statistical_inefficiency(terms), float(len(reverse)))
    return subsample(len(reverse), g), g, None


def _lfep(forward: Tensor) -> tuple[float, float]:
    value, error = log_z(-forward)
    return -value, error


def _lfep_alone(forward: Tensor) -> float:
    """Estimate the same without its error, which costs most of the time."""
    return math.log(len(forward)) - torch.logsumexp(-forward, 0).item()


def _slice(x: Tensor, start: float, stop: float) -> Tensor:
    return x[round(start * len(x)) : round(stop * len(x))]


def _estimate(
    of: Callable[..., tuple[float, float]],
    alone: Callable[..., float],
    samples: tuple[Tensor, ...],
    groups: tuple[Tensor | None, ...],
    repeats: int,
    rng: torch.Generator,
) -> FreeEnergy:
    """Return a value with its analytic error, that of a bootstrap, and the spread of parts; `alone` gives the value only."""

    def tried(*samples: Tensor) -> float:
        try:
            return alone(*samples)
        except ValueError:  # no overlap in what was drawn
            return math.nan

    value, error = of(*samples)
    fewest = min(len(x) if group is None else len(group.unique()) for x, group in zip(samples, groups, strict=True))
    resampled = bootstrap(tried, samples, RESAMPLED, rng, groups)
    spread = bootstrap_error(resampled, fewest).item()
    parts = None
    if min(map(len, samples)) >= 2 * repeats:
        values = torch.tensor([tried(*part) for part in zip(*(x.tensor_split(repeats) for x in samples), strict=True)])
        parts = Parts(repeats, values.mean().item(), values.std().item())
    return FreeEnergy(value, error, spread if math.isfinite(spread) else math.inf, _finite(parts))


def _finite(parts: Parts | None) -> Parts | None:
    return parts if parts is not None and math.isfinite(parts.deviation) else None
