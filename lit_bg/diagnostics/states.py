"""Free energies of several states from samples of any of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_bg.estimators import (
    Convergence,
    bootstrap,
    bootstrap_error,
    both_directions,
    mbar,
    mbar_covariance,
    overlap_matrix,
)

RESAMPLED = 50  # data sets of a bootstrap: the error of the error is a tenth


class Drawn(NamedTuple):
    """Holds samples in order of time that are resampled together, because they may be correlated."""

    u: Float[Tensor, "n K"]  # reduced energies in all states [kT]; +inf where a state has no density
    state: Int[Tensor, "n"]  # the state that each was sampled in
    group: Int[Tensor, "n"] | None = None  # samples that are drawn as a whole; None: all are independent


@dataclass(frozen=True)
class Multistate:
    """Holds what MBAR says of states.

    Attributes:
        names: of the states.
        u: (K, N) reduced energies, samples of state 0 first.
        counts: (K,) samples of each state.
        f: (K,) free energies relative to the first state [kT].
        covariance: (K, K) of f, for independent samples.
        resampled: (B, K) f of a bootstrap.
        groups: fewest groups of it.
        overlap: (K, K) overlap matrix.
        even: (K, K) the same for as many samples of every sampled state.
        convergence: of the last state relative to `first`.
        first: a state.
    """

    names: tuple[str, ...]
    u: Tensor
    counts: Tensor
    f: Tensor
    covariance: Tensor
    resampled: Tensor
    groups: int
    overlap: Tensor
    even: Tensor
    convergence: Convergence
    first: int = 0

    def difference(self, state: int, to: int = 0) -> tuple[float, float, float]:
        """Return f of a state less that of another, its analytic error, and that of the bootstrap [kT]."""
        c = self.covariance
        variance = (c[state, state] + c[to, to] - 2 * c[state, to]).item()
        spread = self.resampled[:, state] - self.resampled[:, to]
        known = spread[torch.isfinite(spread)]
        error = bootstrap_error(known, self.groups).item() if 2 * len(known) > len(spread) else math.inf
        return (self.f[state] - self.f[to]).item(), math.sqrt(max(variance, 0.0)), error


def estimate_states(names: Sequence[str], drawn: Sequence[Drawn], rng: torch.Generator, first: int = 0) -> Multistate:
    """Return free energies, overlap and convergence of states by MBAR.

    Args:
        names: of K states.
        drawn: independent sets of samples.
        rng: of the bootstrap.
        first: the state to which the convergence of the last is shown.

    Raises:
        ValueError: states that do not overlap, or energies that are no numbers.
    """
    states = len(names)
    packed = tuple(torch.cat([d.u.double(), d.state[:, None].double()], 1) for d in drawn)

    def solve(*sets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        every = torch.cat(sets)
        state = every[:, -1].long()
        order = torch.argsort(state, stable=True)
        u, counts = every[order, :-1].T.contiguous(), torch.bincount(state, minlength=states)
        return u, counts, mbar(u, counts)

    u, counts, f = solve(*packed)

    def resolved(*sets: Tensor) -> Tensor:
        try:
            return solve(*sets)[2]
        except ValueError:  # no overlap in what was drawn
            return torch.full((states,), math.nan, dtype=torch.float64)

    def part(start: float, stop: float) -> tuple[float, float]:
        u, counts, f = solve(*(p[round(start * len(p)) : round(stop * len(p))] for p in packed))
        c = mbar_covariance(u, counts, f)
        variance = c[-1, -1] + c[first, first] - 2 * c[-1, first]
        return (f[-1] - f[first]).item(), variance.clamp_min(0).sqrt().item()

    groups = [d.group for d in drawn]
    return Multistate(
        names=tuple(names),
        u=u,
        counts=counts,
        f=f,
        covariance=mbar_covariance(u, counts, f),
        resampled=bootstrap(resolved, packed, RESAMPLED, rng, groups),
        groups=min(len(d.u) if d.group is None else len(d.group.unique()) for d in drawn),
        overlap=overlap_matrix(u, counts, f),
        even=overlap_matrix(u, counts, f, alike=True),
        convergence=both_directions(part),
        first=first,
    )
