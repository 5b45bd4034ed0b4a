"""How often error bars of correlated frames cover the truth; run it to print the table of docs/verdict.md.

python tests/estimators/series_coverage.py --repeats 1000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.estimators import mean_with_error


def autoregressive(frames: int, walkers: int, time: float, rng: torch.Generator) -> Tensor:
    """Normal numbers with autocorrelation exp(-t / time), (T, W); mean 0."""
    rho = math.exp(-1 / time)
    x = torch.empty(frames, walkers, dtype=torch.float64)
    x[0] = torch.randn(walkers, generator=rng, dtype=torch.float64)
    noise = math.sqrt(1 - rho**2) * torch.randn(frames, walkers, generator=rng, dtype=torch.float64)
    for t in range(1, frames):
        x[t] = rho * x[t - 1] + noise[t]
    return x


def jumping(frames: int, walkers: int, time: float, rng: torch.Generator, p: float = 0.2) -> Tensor:
    """A state of probability `p`, 1 inside and 0 outside, with autocorrelation exp(-t / time), (T, W)."""
    leave = 1 - math.exp(-1 / time)
    x = torch.empty(frames, walkers, dtype=torch.float64)
    x[0] = (torch.rand(walkers, generator=rng) < p).double()
    redraw = torch.rand(frames, walkers, generator=rng) < leave
    fresh = (torch.rand(frames, walkers, generator=rng) < p).double()
    for t in range(1, frames):
        x[t] = torch.where(redraw[t], fresh[t], x[t - 1])
    return x


@dataclass(frozen=True)
class Series:
    """A process, its true mean, and how much of it is seen."""

    name: str
    draw: Callable[[int, int, float, torch.Generator], Tensor]
    truth: float
    frames: int
    walkers: int
    time: float

    def coverage(self, repeats: int, seed: int = 0) -> tuple[float, float, float]:
        """Return the coverage of one and of two errors, of the repeats with a bar, and the share of those without."""
        rng = torch.Generator().manual_seed(seed)
        z = []
        for _ in range(repeats):
            mean, error = mean_with_error(self.draw(self.frames, self.walkers, self.time, rng))
            z.append(abs(mean - self.truth) / error if math.isfinite(error) else math.nan)
        t = torch.tensor([v for v in z if not math.isnan(v)])
        return (t < 1).double().mean().item(), (t < 2).double().mean().item(), 1 - len(t) / repeats


SERIES = [
    Series(name, draw, truth, frames, walkers, time)
    for name, draw, truth in (("autoregressive", autoregressive, 0.0), ("two states, p = 0.2", jumping, 0.2))
    for frames, times in ((200, (2.0, 20.0)), (2000, (20.0, 200.0)))
    for time in times
    for walkers in (4, 8, 16)
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=1000)
    arguments = options.parse_args()
    print(
        "| series | frames | walkers | correlation time | one error covers | two errors cover | no bar |\n" + "|---" * 7 + "|"
    )
    for s in SERIES:
        one, two, none = s.coverage(arguments.repeats)
        print(f"| {s.name} | {s.frames} | {s.walkers} | {s.time:g} | {one:.1%} | {two:.1%} | {none:.1%} |", flush=True)


if __name__ == "__main__":
    main()
