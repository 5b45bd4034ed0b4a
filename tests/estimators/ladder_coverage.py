"""How often error bars of populations from a temperature ladder cover the truth; run it to print the table of docs/verdict.md.

    python tests/estimators/ladder_coverage.py --repeats 1000

Two harmonic wells, one of them rare and softer, by replica exchange: in every rung a replica goes from well to well at a rate
of its own, hardly ever where it is cold, its energy is redrawn now and then, and neighbours exchange by Metropolis. So frames
are correlated in time and between rungs, and everything is known at every temperature.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.estimators import ladder_populations

DIMENSION, SOFTER = 10, 1.2
BETA = torch.tensor([1.0, 0.75, 0.55, 0.4], dtype=torch.float64)
LEAVE = torch.tensor([0.002, 0.01, 0.05, 0.2])  # probability that the well is drawn anew in a step, by rung
REDRAW = 0.2  # the same of the energy within a well


@dataclass(frozen=True)
class Exchange:
    """How much is seen of two wells by replica exchange."""

    p: float  # of the rare well at the lowest temperature
    frames: int
    ladders: int

    def at_rungs(self) -> Tensor:
        """Probability of the rare well in every rung, (R,)."""
        softness = DIMENSION * math.log(SOFTER)
        gap = softness - math.log(self.p / (1 - self.p))
        return torch.sigmoid(softness - BETA * gap)

    def simulate(self, repeats: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return energies in kT of the lowest temperature and labels, (repeats, T, W, R)."""
        rng = torch.Generator().manual_seed(seed)
        shape, rare = (repeats, self.ladders, len(BETA)), self.at_rungs()
        gap = DIMENSION * math.log(SOFTER) - math.log(self.p / (1 - self.p))

        def harmonic() -> Tensor:
            return 0.5 * torch.randn(*shape, DIMENSION, generator=rng, dtype=torch.float64).square().sum(-1) / BETA

        label, e = torch.rand(shape, generator=rng) < rare, harmonic()
        kept = []
        for step in range(self.frames):
            anew = torch.rand(shape, generator=rng) < LEAVE
            label = torch.where(anew, torch.rand(shape, generator=rng) < rare, label)
            e = torch.where(torch.rand(shape, generator=rng) < REDRAW, harmonic(), e)
            u = e + gap * label
            for i in range(step % 2, len(BETA) - 1, 2):
                odds = (BETA[i] - BETA[i + 1]) * (u[..., i] - u[..., i + 1])
                swap = torch.rand(shape[:2], generator=rng).double().log() < odds
                for values in (label, e, u):
                    low, high = values[..., i].clone(), values[..., i + 1].clone()
                    values[..., i], values[..., i + 1] = torch.where(swap, high, low), torch.where(swap, low, high)
            kept.append((u.clone(), label.clone()))
        u, label = (torch.stack(parts, 1) for parts in zip(*kept, strict=True))
        return u, label.long()

    def coverage(self, repeats: int, seed: int = 0) -> dict[str, tuple[float, float, float]]:
        """Return the coverage of one and of two errors, of the repeats with a bar, and the share of those without."""
        truth = {"P": self.p, "F": -math.log(self.p / (1 - self.p))}
        z: dict[str, list[float]] = {"P": [], "F": []}
        for u, label in zip(*self.simulate(repeats, seed), strict=True):
            p, covariance = ladder_populations(BETA.reshape(-1, 1, 1, 1) * u, label, 2)
            found = {"P": (p[1], covariance[1, 1]), "F": (-(p[1] / p[0]).log(), covariance[1, 1] / (p[0] * p[1]) ** 2)}
            for name, (value, variance) in found.items():
                error = variance.sqrt().item()
                z[name].append(abs(value.item() - truth[name]) / error if 0 < error < math.inf else math.nan)
        found = {}
        for name, values in z.items():
            t = torch.tensor([v for v in values if not math.isnan(v)])
            found[name] = (t < 1).double().mean().item(), (t < 2).double().mean().item(), 1 - len(t) / repeats
        return found


LADDERS = [Exchange(p, frames, ladders) for p in (0.05, 0.01) for frames in (50, 200) for ladders in (4, 8, 16)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=1000)
    arguments = options.parse_args()
    print("| p | frames | ladders | number | one error covers | two errors cover | no bar |\n" + "|---" * 7 + "|")
    for e in LADDERS:
        for name, (one, two, none) in e.coverage(arguments.repeats).items():
            label = {"P": "P(rare)", "F": "F(rare) - F(common)"}[name]
            print(f"| {e.p} | {e.frames} | {e.ladders} | {label} | {one:.1%} | {two:.1%} | {none:.1%} |", flush=True)


if __name__ == "__main__":
    main()
