"""Good chains and populations, judged many times; run it to print the table of docs/verdict.md.

python tests/report/good_samples.py --runs 200
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator

from made_samples import anneal, walk

from lit_bg.energies import DoubleWell
from lit_bg.report.assess import assess_samples
from lit_bg.samples import Chains, Populations

WALKERS = 8


class Bare(DoubleWell):
    """The double well of which nothing is known but its modes."""

    log_Z = None
    observables = property(lambda self: {n: o._replace(exact=None) for n, o in super().observables.items()})
    modes = property(lambda self: super().modes._replace(exact=None))


def chains(runs: int, frames: int, one_start: bool = False, seed: int = 0) -> Iterator[Chains]:
    """Metropolis in the double well at kT = 3, which is crossed about every 25 frames."""
    energy = DoubleWell(kT=3.0)
    start = energy.initial[:1].repeat(WALKERS * runs, 1) if one_start else energy.initial.repeat(WALKERS * runs // 2, 1)
    x, u, start = walk(energy, start, frames, every=3, seed=seed)
    for k in range(runs):
        own = slice(WALKERS * k, WALKERS * (k + 1))
        yield Chains(x[:, own], u[:, own], start[own])


def populations(runs: int, number: int, particles: int) -> Iterator[Populations]:
    """Sequential Monte Carlo of the double well at kT = 1."""
    for k in range(runs):
        yield anneal(DoubleWell(), number, particles, seed=k)


def rows() -> Iterator[tuple[str, str, DoubleWell, Callable[[int], Iterator[Chains | Populations]]]]:
    for frames in (100, 1000, 4000):
        label = f"8 walkers of {frames} frames"
        yield f"{label}, from both wells", "modes", Bare(kT=3.0), lambda runs, t=frames: chains(runs, t)
        yield f"{label}, from both wells", "all", DoubleWell(kT=3.0), lambda runs, t=frames: chains(runs, t)
    yield "8 walkers of 4000 frames, from one well", "modes", Bare(kT=3.0), lambda runs: chains(runs, 4000, True)
    for number, particles in ((4, 1000), (8, 300), (8, 1000), (16, 1000)):
        label = f"{number} populations of {particles}"
        yield label, "all", DoubleWell(), lambda runs, p=number, n=particles: populations(runs, p, n)
    yield "8 populations of 1000", "modes", Bare(), lambda runs: populations(runs, 8, 1000)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=200)
    runs = options.parse_args().runs
    print("| good samples | known | runs | trust | unchecked | do not trust |\n|---|---|---|---|---|---|")
    for label, known, energy, make in rows():
        words: Counter[str] = Counter(assess_samples(energy, samples).verdict.word for samples in make(runs))
        cells = [f"{words[word] / runs:.1%}" for word in ("trust", "unchecked", "do not trust")]
        print(f"| {label} | {known} | {runs} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
