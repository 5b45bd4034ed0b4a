"""How often error bars of importance sampling cover the truth; run it to print the table of docs/verdict.md.

    python tests/estimators/error_bar_coverage.py --repeats 1000

Proposals are standard normal numbers z (and others, independent of the weights, y); the weights are lognormal,
ln w = s z - s^2 / 2 with s^2 = -ln ESS, so that the target is a normal density about s, or have a Pareto tail, w = U^-k.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.estimators import expectation, log_z, profile


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def normal_quantile(p: float) -> float:
    return math.sqrt(2) * torch.erfinv(torch.tensor(2 * p - 1, dtype=torch.float64)).item()


@dataclass(frozen=True)
class Cell:
    """A kind of weights and a number of proposals."""

    name: str
    n: int
    s: float = 0.0  # of lognormal weights
    k: float = 0.0  # of Pareto weights

    def draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        z = torch.randn(self.n, generator=rng, dtype=torch.float64)
        y = torch.randn(self.n, generator=rng, dtype=torch.float64)
        log_w = self.s * z - 0.5 * self.s**2
        if self.k:
            log_w = -self.k * torch.rand(self.n, generator=rng, dtype=torch.float64).log() + math.log1p(-self.k)
        return log_w, z, y

    def quantities(self) -> dict[str, tuple[Callable[[Tensor, Tensor, Tensor], tuple[float, float]], float]]:
        """What is estimated, with its true value."""
        s = self.s
        found: dict[str, tuple[Callable, float]] = {
            "log Z": (lambda log_w, z, y: log_z(log_w), 0.0),
            "<y>": (lambda log_w, z, y: expectation(y, log_w), 0.0),
            "<y^2>": (lambda log_w, z, y: expectation(y**2, log_w), 1.0),
            "P = 0.5": (lambda log_w, z, y: expectation((y > 0).double(), log_w), 0.5),
            "P = 0.03": (lambda log_w, z, y: expectation((y > 1.8807936).double(), log_w), 0.03),
            "P = 0.002": (lambda log_w, z, y: expectation((y > 2.8781617).double(), log_w), 0.002),
            "bin of a profile": (lambda log_w, z, y: _bin(y, log_w), _true_bin()),
        }
        if s:
            low, high = normal_quantile(0.03) + s, s - normal_quantile(0.03)
            found |= {
                "<z>": (lambda log_w, z, y: expectation(z, log_w), s),
                "<z^2>": (lambda log_w, z, y: expectation(z**2, log_w), 1 + s**2),
                "P(z low) = 0.03": (lambda log_w, z, y: expectation((z < low).double(), log_w), 0.03),
                "P(z high) = 0.03": (lambda log_w, z, y: expectation((z > high).double(), log_w), 0.03),
            }
        return found


EDGES = torch.linspace(-3.0, 3.0, 31, dtype=torch.float64)
BIN = 22  # from 1.4 to 1.6


def _bin(y: Tensor, log_w: Tensor) -> tuple[float, float]:
    f, error = profile(y, log_w, EDGES)
    return f[BIN].item(), error[BIN].item()


def _true_bin() -> float:
    low, high = EDGES[BIN].item(), EDGES[BIN + 1].item()
    return -math.log((normal_cdf(high) - normal_cdf(low)) / (high - low))


CELLS = [
    *(Cell(f"ESS {e}", n, s=math.sqrt(-math.log(e))) for e in (0.9, 0.3, 0.05) for n in (1000, 10_000)),
    *(Cell(f"Pareto k = {k}", n, k=k) for k in (0.2, 0.35, 0.5, 0.6, 0.7) for n in (1000, 10_000)),
]


@dataclass(frozen=True)
class Row:
    """Coverage of the bars that there are, and the share of dashes where there is none."""

    one: float  # of one standard error, of the repeats with a bar
    two: float
    dashes: float
    bars: int


def cover(cell: Cell, repeats: int, seed: int = 0) -> dict[str, Row]:
    """Return the coverage of every quantity."""
    rng = torch.Generator().manual_seed(seed)
    quantities = cell.quantities()
    z: dict[str, list[float]] = {name: [] for name in quantities}
    for _ in range(repeats):
        drawn = cell.draw(rng)
        for name, (estimate, truth) in quantities.items():
            value, error = estimate(*drawn)
            z[name].append(
                abs(value - truth) / error if math.isfinite(error) and error > 0 else math.inf if error == 0 else math.nan
            )
    rows = {}
    for name, values in z.items():
        t = torch.tensor([v for v in values if not math.isnan(v)])
        shares = ((t < 1).double().mean().item(), (t < 2).double().mean().item()) if len(t) else (math.nan, math.nan)
        rows[name] = Row(*shares, 1 - len(t) / repeats, len(t))
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=1000)
    options.add_argument("--only", default="")
    arguments = options.parse_args()
    print("| weights | n | number | one error covers | two errors cover | no bar |\n|---|---|---|---|---|---|")
    for cell in CELLS:
        if arguments.only in cell.name:
            for name, row in cover(cell, arguments.repeats).items():
                print(f"| {cell.name} | {cell.n} | {name} | {row.one:.1%} | {row.two:.1%} | {row.dashes:.1%} |", flush=True)


if __name__ == "__main__":
    main()
