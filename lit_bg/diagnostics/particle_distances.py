"""Distances of proposals from reference data, in distances between particles, energies and configurations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.data.dataset import Dataset
from lit_bg.estimators import Moves, density, geometric_w2, shell_factor, wasserstein
from lit_bg.rng import stream
from lit_bg.samples import Samples

CONFIGURATIONS = 10_000  # compared at most,
DISTANCES = 500_000  # with at most so many distances: sorting them is the cost
EXCHANGING = 200  # configurations transported at most where particles change places,
EXCHANGED = 2600  # with at most so many particles: the assignment of each pair of configurations is the cost
BINS = 100

Curve = tuple[Tensor, Tensor]  # density and its standard error, (K,)


@dataclass(frozen=True)
class Distance:
    """Holds the Wasserstein distance W1 of proposals, drawn and reweighted, to the reference, and of its halves."""

    raw: float
    reweighted: float
    floor: float


@dataclass(frozen=True)
class TransportDistance:
    """Holds a geometric distance W2 of proposals, as drawn, to the reference, and of halves of the reference."""

    raw: float
    floor: float


class PairDensity(NamedTuple):
    """Holds the density of the distances between particles."""

    edges: Tensor  # (K+1,)
    raw: Curve
    reweighted: Curve
    reference: Curve

    def around(self, particles: int, d: int) -> PairDensity:
        """Return the same curves as the number density of particles around a particle (see `shell_factor`)."""
        factor = shell_factor(self.edges, particles, d)
        return PairDensity(self.edges, *((factor * p, factor * err) for p, err in (self.raw, self.reweighted, self.reference)))


class Half(NamedTuple):
    """Holds one of two parts of the reference data that share no walker."""

    x: Float[Tensor, "n N d"]
    r: Float[Tensor, "n pairs"]  # distances of the N (N - 1) / 2 pairs
    u: Float[Tensor, "n"]  # [kT]


def count_compared(particles: int, data: Dataset, n: int) -> int:
    """Return how many of n proposals are compared: at most as many as half of the data, and not too many to be sorted."""
    most = max(1, min(CONFIGURATIONS, 2 * DISTANCES // (particles * (particles - 1))))
    return min(n, most, max(1, min(len(index) for index in halves(data))))


def halves(data: Dataset) -> tuple[Tensor, Tensor]:
    """Split a data set into two halves: by walkers, drawn but always the same, or by the time of a single one."""
    ids = data.walker.unique()
    if len(ids) > 1:
        chosen = ids[torch.randperm(len(ids), generator=stream(0, "halves"))[: len(ids) // 2]]
        first = torch.isin(data.walker, chosen)
    else:
        first = data.frame < data.frame.double().mean()
    return torch.nonzero(first).flatten(), torch.nonzero(~first).flatten()


def halve(data: Dataset, n: int) -> tuple[Half, Half]:
    """Return n configurations at most of either half, evenly."""

    def part(pick: Tensor) -> Half:
        x = data.x[pick.to(data.x.device)].cpu()
        return Half(x, pair_distances(x), data.u[pick.to(data.u.device)].cpu())

    a, b = (part(_evenly(index, n)) for index in halves(data))
    return a, b


def pair_distances(x: Tensor) -> Tensor:
    """Return |x_i - x_j| of all pairs i < j, (B, N, d) -> (B, N (N - 1) / 2)."""
    i, j = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
    return (x[:, i] - x[:, j]).norm(dim=-1)


def compare_distances(samples: Samples, parts: tuple[Half, Half]) -> Distance:
    """Return W1 of the distances between particles [unit of length]; NaN where no proposal has a finite energy."""
    a, b = parts
    return _compare(pair_distances(samples.x), samples.log_w, a.r, b.r)


def compare_reference_energies(samples: Samples, parts: tuple[Half, Half]) -> Distance:
    """Return W1 of the reduced energies [kT]; NaN where no proposal has a finite energy."""
    a, b = parts
    return _compare(samples.u, samples.log_w, a.u, b.u)


def _compare(values: Tensor, log_w: Tensor, a: Tensor, b: Tensor) -> Distance:
    finite = torch.isfinite(log_w)
    seen = bool(finite.any())
    return Distance(
        mean(wasserstein(values[finite], part) for part in (a, b)) if seen else math.nan,
        mean(wasserstein(values, part, log_w) for part in (a, b)) if seen else math.nan,
        wasserstein(a, b),
    )


def transport(samples: Samples, parts: tuple[Half, Half], moves: Moves, n: int) -> TransportDistance:
    """Return the geometric W2 of n proposals with finite energy, at most, up to all symmetries; NaN where there are none."""
    if moves.types is not None:
        n = min(n, EXCHANGING, max(2, EXCHANGED // len(moves.types)))
    x = samples.x[samples.finite]
    n = min(n, len(x), *(len(half.x) for half in parts))
    if n == 0:
        return TransportDistance(math.nan, math.nan)
    x, a, b = (y[_evenly(torch.arange(len(y)), n)] for y in (x, parts[0].x, parts[1].x))
    return TransportDistance(mean(geometric_w2(x, half, moves) for half in (a, b)), geometric_w2(a, b, moves))


def find_density(samples: Samples, parts: tuple[Half, Half], data: Dataset) -> PairDensity | None:
    """Return the distribution of distances; frames of the reference count by how many independent ones they are worth.

    None where no proposal has a finite energy.
    """
    log_w = samples.log_w
    finite = torch.isfinite(log_w)
    if not finite.any():
        return None
    r, known = pair_distances(samples.x), torch.cat([half.r for half in parts])
    low, high = known.min().item(), known.max().item()
    edges = torch.linspace(max(0.0, low - 0.1 * (high - low)), high + 0.1 * (high - low), BINS + 1, dtype=torch.float64)
    value, err = density(known, None, edges)
    independent = len(data) / max(data.card.get("statistical_inefficiency", {}).values(), default=1.0)
    err = err * max(1.0, len(known) / independent) ** 0.5
    return PairDensity(edges, density(r[finite], None, edges), density(r, log_w, edges), (value, err))


def _evenly(index: Tensor, n: int) -> Tensor:
    """Return n of them, evenly spread, or all where they are fewer."""
    return index[torch.linspace(0, len(index) - 1, min(n, len(index))).long()]
