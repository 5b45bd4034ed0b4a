"""Basins of a free-energy profile along an angle."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

BINS = 360
SMOOTHING = math.radians(8)
FEWEST = 10  # independent frames in a window of the smoothing: fewer are noise


def circular_basins(angle: Float[Tensor, "n"], effective: float, barrier: float = 1.0) -> list[float]:
    r"""Find the borders between the basins of the free energy of an angle.

    $F(\varphi) = -\ln [\hat p(\varphi) + p_0]$ with $\hat p$ the density smoothed by a Gaussian of 8 degrees and $p_0$ that of
    ten independent frames, so that wiggles of few frames are none. Two minima are one basin if the way from the higher one
    to the lower climbs less than `barrier` (the persistence of the minimum); a border is the highest point between two.

    Args:
        angle: (n,) [rad].
        effective: number of independent frames among them.
        barrier: that parts two basins [kT].

    Returns:
        Borders, ascending in [-pi, pi); none if all is one basin.

    Raises:
        ValueError: no frames, or angles that are not finite.

    References:
        Edelsbrunner, Letscher, Zomorodian, Discrete Comput. Geom. 28, 511 (2002), doi:10.1007/s00454-002-2885-2, for
        persistence.

    >>> a = torch.cat([torch.linspace(-0.5, 0.5, 1000), torch.linspace(1.9, 2.9, 1000)])
    >>> [round(b, 1) for b in circular_basins(a, 2000)]
    [-1.9, 1.2]
    """
    a = torch.as_tensor(angle).detach().flatten().double().cpu()
    if len(a) == 0 or not torch.isfinite(a).all():
        raise ValueError(f"basins need finite angles, got {len(a)} of which {int((~torch.isfinite(a)).sum())} are not.")
    width = 2 * math.pi / BINS
    count = torch.bincount(((a + math.pi) / width).floor().long() % BINS, minlength=BINS).double()
    frequency = torch.arange(BINS // 2 + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (frequency * SMOOTHING) ** 2)
    window = math.sqrt(2 * math.pi) * SMOOTHING / width  # bins
    frames = torch.fft.irfft(torch.fft.rfft(count) * kernel, n=BINS).clamp_min(0) * window * effective / len(a)
    F = -(frames + FEWEST).log()
    kept = _persistent(F.tolist(), barrier)
    borders = []
    for low, high in zip([kept[-1] - BINS, *kept[:-1]], kept, strict=True) if len(kept) > 1 else ():
        between = F[torch.arange(low, high + 1) % BINS]
        top = torch.nonzero(between >= between.max() - 1e-9).flatten()  # the middle of a plateau that nobody visits
        borders.append(-math.pi + ((low + int(top[len(top) // 2])) % BINS + 0.5) * width)
    return sorted(borders)


def _persistent(F: list[float], barrier: float) -> list[int]:
    """Return minima on a ring, ascending, that lie deeper than `barrier` below the lowest way to a deeper one."""
    n = len(F)
    basin: list[int | None] = [None] * n  # of every point reached so far, as an index into `parent`
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    shallow: set[int] = set()
    for i in sorted(range(n), key=lambda i: F[i]):  # the water rises
        beside = {root(b) for b in (basin[(i - 1) % n], basin[(i + 1) % n]) if b is not None}
        if not beside:
            basin[i] = i
            continue
        deepest = min(beside, key=lambda b: F[b])
        basin[i] = deepest
        for other in beside - {deepest}:
            parent[other] = deepest  # what comes next belongs to the deeper one
            if F[i] - F[other] < barrier:
                shallow.add(other)
    return sorted(set(basin) - {None} - shallow)  # type: ignore[arg-type]
