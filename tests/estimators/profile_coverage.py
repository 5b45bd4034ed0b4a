"""How often bands of free-energy profiles cover the truth; run it to print the table of docs/profiles.md.

    python tests/estimators/profile_coverage.py --repeats 300

The target is a normal density in the plane, or DoubleWell at kT = 8, where Langevin-like moves cross. Draws come from a normal
density shifted so that the ESS is 0.3; chains are autoregressive of order one, or Metropolis walks in the double well;
populations are drawn, weighted and resampled once, so that particles of one population share ancestors.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from series_coverage import autoregressive
from torch import Tensor

from lit_bg.energies import DoubleWell
from lit_bg.estimators import profile, surface
from lit_bg.kernels import Metropolis

EDGES = torch.linspace(-3.0, 3.0, 25, dtype=torch.float64)
COARSE = torch.linspace(-2.4, 2.4, 9, dtype=torch.float64)
SHIFT = math.sqrt(-math.log(0.3))
WELL = DoubleWell(kT=8.0)
WELL_EDGES = torch.linspace(-2.6, 2.6, 21, dtype=torch.float64)


def draws(rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """x, y, log w of independent draws about `SHIFT` / sqrt 2 in both coordinates, (B,), of ESS 0.3."""
    shift = SHIFT / math.sqrt(2)
    x, y = shift + torch.randn(2, 4000, generator=rng, dtype=torch.float64)
    return x, y, -shift * (x + y)


def chains(frames: int, walkers: int, time: float) -> Callable[[torch.Generator], tuple[Tensor, Tensor, None]]:
    return lambda rng: (autoregressive(frames, walkers, time, rng), autoregressive(frames, walkers, time, rng), None)


def walks(rng: torch.Generator) -> tuple[Tensor, Tensor, None]:
    """Frames of a Metropolis walk in the double well, (T, W)."""
    kernel = Metropolis(step_size=0.9)
    state = kernel.init(WELL, WELL.exact_samples(16, rng), rng)
    frames = []
    for _ in range(1000):
        state, _ = kernel.step(WELL, state, rng)
        frames.append(state.x)
    x = torch.stack(frames).double()
    return x[..., 0], x[..., 1], None


def populations(count: int) -> Callable[[torch.Generator], tuple[Tensor, Tensor, Tensor]]:
    def draw(rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        size = 500
        x, y = SHIFT / math.sqrt(2) + torch.randn(2, count, size, generator=rng, dtype=torch.float64)
        log_w = -SHIFT / math.sqrt(2) * (x + y)
        pick = torch.multinomial(log_w.softmax(1), size, replacement=True, generator=rng)
        level = torch.logsumexp(log_w, 1, keepdim=True) - math.log(size)
        return x.gather(1, pick), y.gather(1, pick), level.expand(count, size)

    return draw


def normal(edges: Tensor) -> Tensor:
    return torch.special.ndtr(edges[1:]) - torch.special.ndtr(edges[:-1])


def well() -> Tensor:
    return torch.tensor([WELL._marginal.probability(a, b) for a, b in itertools.pairwise(WELL_EDGES.tolist())])


@dataclass(frozen=True)
class Band:
    """A kind of samples, and the profile made of it."""

    name: str
    draw: Callable[[torch.Generator], tuple[Tensor, Tensor, Tensor | None]]
    dependence: str
    plane: bool = False
    edges: Tensor | None = None

    def truth(self) -> Tensor:
        if self.edges is not None:
            return -torch.log(well() / self.edges.diff())
        if not self.plane:
            return -torch.log(normal(EDGES) / EDGES.diff())
        return -torch.log(torch.outer(normal(COARSE), normal(COARSE)) / COARSE.diff()[0] ** 2)

    def estimate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y, log_w = self.draw(rng)
        if self.plane:
            return surface(x, y, log_w, (COARSE, COARSE), dependence=self.dependence)
        return profile(x, log_w, EDGES if self.edges is None else self.edges, dependence=self.dependence)

    def coverage(self, repeats: int, seed: int = 0) -> dict[str, tuple[float, float, float, int]]:
        """Coverage of one and of two errors over all bins with a bar, the share of bins without, and how many bars there are.

        Of bins with more than 1 % of the probability ("body") and with less ("tails"); of the plane, 0.4 %.
        """
        rng = torch.Generator().manual_seed(seed)
        truth = self.truth()
        z = []
        for _ in range(repeats):
            f, error = self.estimate(rng)
            z.append(torch.where(torch.isfinite(error), (f - truth).abs() / error, math.nan))
        z = torch.stack(z)
        size = (EDGES if self.edges is None else self.edges).diff()[0] if not self.plane else COARSE.diff()[0] ** 2
        body = torch.exp(-truth) * size > (0.004 if self.plane else 0.01)
        found = {}
        for name, part in (("body", z[:, body]), ("tails", z[:, ~body])):
            t = part[~part.isnan()]
            share = ((t < 1).double().mean().item(), (t < 2).double().mean().item()) if len(t) else (math.nan, math.nan)
            found[name] = (*share, part.isnan().double().mean().item(), len(t))
        return found


BANDS = [
    Band("draws of ESS 0.3", draws, "draws"),
    Band("draws of ESS 0.3, plane", draws, "draws", plane=True),
    *(
        Band(f"{w} chains of {t} frames, time {time:g}", chains(t, w, time), "chains")
        for t, w, time in ((2000, 4, 2.0), (2000, 4, 20.0), (4000, 1, 5.0), (500, 32, 20.0))
    ),
    Band("8 chains of 2000 frames, time 5, plane", chains(2000, 8, 5.0), "chains", plane=True),
    Band("16 walks of 1000 frames in DoubleWell", walks, "chains", edges=WELL_EDGES),
    *(Band(f"{p} populations", populations(p), "populations") for p in (8, 16, 32)),
    Band("16 populations, plane", populations(16), "populations", plane=True),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=300)
    options.add_argument("--only", default="")
    arguments = options.parse_args()
    print("| samples | bins | one error covers | two errors cover | no bar |\n|---|---|---|---|---|")
    for band in BANDS:
        if arguments.only in band.name:
            for part, (one, two, none, _) in band.coverage(arguments.repeats).items():
                print(f"| {band.name} | {part} | {one:.1%} | {two:.1%} | {none:.1%} |", flush=True)


if __name__ == "__main__":
    main()
