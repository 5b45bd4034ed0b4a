"""Exact answers by every method, with how often error bars cover them; run it to print the tables of docs/answers.md.

    python tests/answers.py --repeats 500 --budget 20000 [--only "double well"]

Targets are systems whose log Z and modes are known by quadrature. Proposals are exact samples of the same system at another
temperature, which has a closed formula for their ESS (see `ess_between`): hotter ones, and colder ones that seldom propose the
rare mode and whose weights are unbounded. All methods of a cell are given as many energies. Repeats of one method run side by
side where they do not meet: independent populations and walkers are dealt out, and one ladder of annealing serves a batch.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from proposals import Normals, OtherTemperature, ess_between
from torch import Tensor

from lit_bg.diagnostics.modes import share_by_mean, share_modes, share_pooled
from lit_bg.energies import DoubleWell, ManyWell, WolfeQuapp
from lit_bg.energies.base import Energy
from lit_bg.energies.meter import Meter
from lit_bg.estimators import (
    average,
    bar,
    effective_ancestors,
    log_norm,
    log_z,
    mbar,
    mbar_covariance,
    mbar_events,
    mean_of_walkers,
    statistical_inefficiency,
)
from lit_bg.kernels import ISIR, MALA, Independence
from lit_bg.rng import stream
from lit_bg.samplers import AIS, SMC, Importance, MarkovChains, Proposer, Sampler
from lit_bg.samples import Chains, Populations, Samples

NAMES = ("left", "right")  # modes whose free-energy difference is asked for, by the sign of the first coordinate
NONE = (math.nan, math.inf)
WALKERS, POPULATIONS, CANDIDATES = 16, 8, 8
BURN_IN = 0.2  # of the moves of chains
TOGETHER = 50  # repeats in memory


@dataclass(frozen=True)
class System:
    """A target, and the temperatures at which its samples have a given ESS as proposals for it."""

    name: str
    make: Callable[[], Energy]
    p_right: Callable[[Energy], float]
    step: float  # of MALA
    width: float  # of the plain Gaussian
    hotter: dict[float, float]  # kT by ESS
    colder: dict[float, float]

    def difference(self, energy: Energy) -> float:
        """Return the exact F(right) - F(left) [kT]."""
        p = self.p_right(energy)
        return math.log((1 - p) / p)


def last_mode(energy: Energy) -> float:
    return float(energy.modes.exact[1])


SYSTEMS = [
    System(
        "double well",
        DoubleWell,
        last_mode,
        step=0.3,
        width=2.0,
        hotter={0.9: 1.36, 0.3: 3.968, 0.05: 23.49},
        colder={0.9: 0.7908, 0.3: 0.5721, 0.05: 0.5109},
    ),
    System(
        "Wolfe-Quapp",
        WolfeQuapp,
        last_mode,
        step=0.2,
        width=2.0,
        hotter={0.9: 1.35, 0.3: 3.574, 0.05: 14.56},
        colder={0.9: 0.7943, 0.3: 0.5813, 0.05: 0.5178},
    ),
    System(
        "many-well 32",
        lambda: ManyWell(32),
        lambda energy: energy.p_right,
        step=0.25,
        width=2.0,
        hotter={0.9: 1.072, 0.3: 1.289, 0.05: 1.534},
        colder={0.9: 0.9372, 0.3: 0.8168, 0.05: 0.7417},
    ),
]


def temperature(energy: Energy, ess: float, hotter: bool) -> float:
    """Return the kT of proposals of a given ESS."""
    from scipy.optimize import brentq

    low, high = (1e-3, 6.0) if hotter else (math.log(0.501), -1e-3)  # of the logarithm of the ratio of temperatures
    return energy.kT * math.exp(brentq(lambda t: ess_between(energy, energy.kT * math.exp(t)) - ess, low, high, xtol=1e-6))


class Answer(NamedTuple):
    """What one repeat of a method says, each with its error; NaN where it says nothing."""

    log_Z: tuple[float, float]
    difference: tuple[float, float]


def label(x: Tensor) -> Tensor:
    return (x[..., 0] > 0).long()


def of_draws(samples: Samples) -> Answer:
    share = share_modes(NAMES, label(samples.x), samples.log_w, {})["right"]
    return Answer(log_z(samples.log_w), (share.free_energy, share.free_energy_error))


def of_populations(found: Populations) -> Answer:
    right = label(found.x)
    share = share_by_mean(
        NAMES,
        right,
        lambda a: average(a, found.log_w, "populations", found.ancestor),
        lambda inside: effective_ancestors(found.log_w, found.ancestor, inside),
        effective_ancestors(found.log_w, found.ancestor),
        {},
    )["right"]
    return Answer(log_norm(found.log_w, "populations", found.ancestor), (share.free_energy, share.free_energy_error))


def of_chains(found: Chains) -> Answer:
    right = label(found.x)

    def count(inside: Tensor) -> float:
        a = inside.double()
        return a.sum().item() / statistical_inefficiency(a)

    draws = right.numel() / statistical_inefficiency(right.double())
    share = share_by_mean(NAMES, right, mean_of_walkers, count, draws, {})["right"]
    return Answer(NONE, (share.free_energy, share.free_energy_error))


@dataclass
class Cell:
    """One system with one kind of proposals, asked by one method."""

    system: System
    kind: str  # "hotter", "colder" or "Gaussian"
    ess: float
    method: str
    budget: int  # energies of a repeat
    energies: float = math.nan  # that a repeat has taken
    gradients: float = math.nan
    answers: list[Answer] = field(default_factory=list)

    def proposer(self) -> Proposer:
        """Return the proposals, and the system with a bill of its own."""
        energy = self.system.make()
        if self.kind == "Gaussian":
            return Proposer(Normals(self.system.width).build(energy), energy)
        kT = getattr(self.system, self.kind).get(self.ess) or temperature(energy, self.ess, self.kind == "hotter")
        return Proposer(OtherTemperature(kT).build(energy), energy)

    def run(self, repeats: int, seed: int) -> None:
        """Ask so many times."""
        proposer = self.proposer()
        spent, gradients = 0.0, 0.0
        for part, start in enumerate(range(0, repeats, TOGETHER)):
            n = min(TOGETHER, repeats - start)
            proposer.energy.meter = Meter()
            found, shared = METHODS[self.method](self, proposer, self.budget, n, seed + part)
            self.answers += found
            spent += proposer.energy.n_values + (n - 1) * shared  # a repeat alone would pay for its own ladder
            gradients += proposer.energy.n_gradients
        self.energies, self.gradients = spent / repeats, gradients / repeats

    @property
    def name(self) -> str:
        return ", ".join([self.system.name, self.kind, *([] if math.isnan(self.ess) else [f"{self.ess}"]), self.method])

    def exact(self) -> tuple[float, float]:
        energy = self.system.make()
        return float(energy.log_Z), self.system.difference(energy)


def silent(done: int, total: int, state: str) -> None:
    pass


def deal(samples: Samples, repeats: int) -> Iterator[Samples]:
    """Deal draws out in equal parts."""
    return (Samples(*part) for part in zip(*(column.chunk(repeats) for column in samples), strict=True))


def by_importance(cell: Cell, proposer: Proposer, budget: int, repeats: int, seed: int) -> tuple[list[Answer], float]:
    samples = Importance(budget * repeats).run(proposer, seed, silent).samples
    return [of_draws(part) for part in deal(samples, repeats)], 0.0


def sized(make: Callable[[int], Sampler], proposer: Proposer, budget: int, seed: int) -> tuple[int, float]:
    """Return how many particles spend the budget, and the energies of the pilot, which every repeat would pay."""
    spent = []
    for n in (16, 32):
        before = proposer.energy.n_values
        make(n).run(proposer, seed, silent)
        spent.append(proposer.energy.n_values - before)
    proposer.energy.meter.values -= sum(spent)
    each = (spent[1] - spent[0]) / 16
    pilot = spent[0] - 16 * each
    return max(16, int((budget - pilot) / each)), pilot


def by_ais(cell: Cell, proposer: Proposer, budget: int, repeats: int, seed: int) -> tuple[list[Answer], float]:
    kernel = MALA(cell.system.step)
    n, pilot = sized(lambda n: AIS(kernel, n=n, keep=0.9, pilot=100), proposer, budget, seed)
    samples = AIS(kernel, n=n * repeats, keep=0.9, pilot=100).run(proposer, seed, silent).samples
    return [of_draws(part) for part in deal(samples, repeats)], pilot


def by_smc(cell: Cell, proposer: Proposer, budget: int, repeats: int, seed: int) -> tuple[list[Answer], float]:
    def sampler(particles: int, populations: int = 1) -> SMC:
        return SMC(MALA(cell.system.step), particles, POPULATIONS * populations, moves=3, keep=0.7, pilot=100)

    n, pilot = sized(sampler, proposer, budget, seed)
    found = sampler(n, repeats).run(proposer, seed, silent).samples
    parts = zip(*(column.chunk(repeats) for column in found), strict=True)
    return [of_populations(Populations(*part)) for part in parts], pilot


def by_chains(kernel: Independence | ISIR, proposer: Proposer, budget: int, repeats: int, seed: int) -> list[Answer]:
    moves = budget // (WALKERS * kernel.evaluations)
    burn_in = int(BURN_IN * moves)
    chains = MarkovChains(kernel, moves - burn_in, WALKERS * repeats, burn_in=burn_in)
    found = chains.run(proposer, seed, silent).samples
    parts = zip(found.x.chunk(repeats, 1), found.u.chunk(repeats, 1), strict=True)
    return [of_chains(Chains(*part)) for part in parts]


def by_imh(cell: Cell, proposer: Proposer, budget: int, repeats: int, seed: int) -> tuple[list[Answer], float]:
    return by_chains(Independence(), proposer, budget, repeats, seed), 0.0


def by_isir(cell: Cell, proposer: Proposer, budget: int, repeats: int, seed: int) -> tuple[list[Answer], float]:
    return by_chains(ISIR(CANDIDATES), proposer, budget, repeats, seed), 0.0


def frames(energy: Energy, n: int, seed: int, repeat: int, purpose: str) -> Tensor:
    """Return independent frames of a system, standing in for a simulation: reference data."""
    return energy.exact_samples(n, stream(seed, f"answers/{purpose}", step=repeat)).double()


def by_bar(cell: Cell, proposer: Proposer, budget: int, repeats: int, seed: int) -> tuple[list[Answer], float]:
    """Half proposals, half frames; modes by the weights of both together, as the command `free_energy` has them."""
    answers = []
    for r in range(repeats):
        drawn = proposer.draw(budget // 2, seed, "answers/proposals", r)
        x = frames(proposer.energy, budget // 2, seed, r, "frames")
        u, log_q = proposer.energy(x), proposer.log_prob(x)
        value, error = bar(-drawn.log_w, -u - log_q)
        states = torch.stack([torch.cat([-drawn.log_q, -log_q]), torch.cat([drawn.u, u])])
        counts = torch.tensor([len(drawn.u), len(u)])
        f = torch.tensor([0.0, value], dtype=torch.float64)
        share = share_pooled(NAMES, label(torch.cat([drawn.x, x])), states, states[1], counts, f)["right"]
        answers.append(Answer((-value, error), (share.free_energy, share.free_energy_error)))
    return answers, 0.0


def by_mbar(cell: Cell, proposer: Proposer, budget: int, repeats: int, seed: int) -> tuple[list[Answer], float]:
    """A third each: proposals, frames, and frames at a temperature between; modes are events in the target."""
    generator, energy = proposer.generator, proposer.energy
    between = energy.at(math.sqrt(energy.kT * float(generator.kT)))
    answers = []
    for r in range(repeats):
        n = budget // 3
        x = torch.cat(
            [
                proposer.draw(n, seed, "answers/proposals", r).x,
                frames(between, n, seed, r, "between"),
                frames(energy, n, seed, r, "frames"),
            ]
        )
        u, right = torch.cat([part_energy(energy, x[:n]), energy(x[n:])]), label(x) == 1
        states = torch.stack([-proposer.log_prob(x), u * energy.kT / between.kT, u])
        counts = torch.full((3,), n)
        f = mbar(states, counts)
        log_Z_error = mbar_covariance(states, counts, f)[2, 2].clamp_min(0).sqrt().item()
        found, c = mbar_events(states, u, torch.stack([~right, right]), counts, f)
        error = (c[0, 0] + c[1, 1] - 2 * c[0, 1]).clamp_min(0).sqrt().item()
        answers.append(Answer(((f[0] - f[2]).item(), log_Z_error), ((found[1] - found[0]).item(), error)))
    return answers, 0.0


def part_energy(energy: Energy, x: Tensor) -> Tensor:
    """Return energies that `draw` has already been charged for."""
    u = energy(x)
    energy.meter.values -= len(x)
    return u


METHODS = {
    "importance sampling": by_importance,
    "i-SIR": by_isir,
    "IMH": by_imh,
    "AIS": by_ais,
    "SMC": by_smc,
    "BAR": by_bar,
    "MBAR": by_mbar,
}
ESS = (0.9, 0.3, 0.05)


def cells(budget: int, values: tuple[float, ...] = ESS) -> list[Cell]:
    """Return all cells: every method with proposals of every ESS, and the baseline of every system."""
    found = []
    for system in SYSTEMS:
        found.append(Cell(system, "Gaussian", math.nan, "SMC", budget))
        found += [
            Cell(system, kind, ess, method, budget) for kind in ("hotter", "colder") for ess in values for method in METHODS
        ]
    return found


class Coverage(NamedTuple):
    """How one number fares over all repeats."""

    deviation: float  # root of the mean squared error
    one: float  # how often one error covers, of the repeats with a bar,
    two: float
    bars: int  # and how many these are


def cover(found: list[tuple[float, float]], exact: float) -> Coverage | None:
    """Return how often errors cover the exact value; None for a method that does not know the number."""
    value, error = torch.tensor(found, dtype=torch.float64).T
    if torch.isnan(value).all():
        return None
    off, bar = (value - exact).abs(), torch.isfinite(error) & torch.isfinite(value)
    known = off[torch.isfinite(value)]
    shares = [(off[bar] <= k * error[bar]).double().mean().item() if bar.any() else math.nan for k in (1, 2)]
    return Coverage(known.square().mean().sqrt().item(), *shares, int(bar.sum()))


def of_gaussian(system: System, points: int = 1201, reach: float = 12.0) -> float:
    """Return the ESS of the plain Gaussian by quadrature; that of many wells is a power of that of one."""
    energy = system.make()
    copies = energy.dim // 2
    one = ManyWell(2) if copies > 1 else energy
    g = torch.linspace(-reach, reach, points, dtype=torch.float64)
    x = torch.cartesian_prod(g, g)
    log_p = -one(x) - one.log_Z
    log_q = Normals(system.width).build(one).log_prob(x)
    squares = torch.logsumexp(2 * log_p - log_q, 0).item() + 2 * math.log(2 * reach / (points - 1))
    return math.exp(-copies * squares)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=500)
    options.add_argument("--budget", type=int, default=20_000, help="energies of a repeat")
    options.add_argument("--only", default="", help="a part of 'system, kind, ESS, method'")
    options.add_argument("--ess", type=float, nargs="+", default=ESS, help="of the proposals")
    options.add_argument("--json", default=None, help="a file for all answers")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    firsts, shares, everything = [], [], []
    for i, cell in enumerate(cells(arguments.budget, tuple(arguments.ess))):
        if arguments.only not in cell.name:
            continue
        began = time.monotonic()
        cell.run(arguments.repeats, seed=1000 * i)
        firsts.append(tell_first(cell))
        shares.append(tell_shares(cell))
        print(f"{cell.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        everything.append({"cell": cell.name, "energies": cell.energies, "forces": cell.gradients, "answers": cell.answers})
        if arguments.json is not None:
            Path(arguments.json).write_text(json.dumps(everything))
    print(FIRST, *firsts, "", SHARES, *shares, sep="\n")


# Errors are roots of mean squares over the repeats; "1 σ" and "2 σ" say how often one and two error bars cover the exact value.
FIRST = """| system | proposals | method | energies | of these with forces | log Z | off | F(right) - F(left) [kT] | off |
|---|---|---|---|---|---|---|---|---|"""
SHARES = """| system | proposals | method | log Z: error | 1 σ | 2 σ | no bar | F: error | 1 σ | 2 σ | no bar | for 0.1 kT |
|---|---|---|---|---|---|---|---|---|---|---|---|"""


def tell_first(cell: Cell) -> str:
    """Return the row of a cell in the table of answers: those of its first repeat."""
    words = [f"{cell.energies:.0f}", f"{cell.gradients:.0f}"]
    for (value, error), exact in zip(cell.answers[0], cell.exact(), strict=True):
        known = math.isfinite(error)
        words.append("-" if math.isnan(value) else f"{value:.3f} ± {error:.3f}" if known else f"{value:.3f}(-)")
        words.append(f"{(value - exact) / error:+.1f}" if known else "-")
    return row(cell, words)


def tell_shares(cell: Cell) -> str:
    """Return the row of a cell in the table of coverage, with the energies that an error of 0.1 kT would take."""
    words: list[str] = []
    of = None
    for found, exact in zip(zip(*cell.answers, strict=True), cell.exact(), strict=True):
        of = cover(list(found), exact)
        if of is None:
            words += ["-"] * 4
            continue
        covers = [f"{100 * of.one:.1f} %", f"{100 * of.two:.1f} %"] if of.bars else ["-", "-"]
        words += [f"{of.deviation:.4f}", *covers, f"{100 * (1 - of.bars / len(found)):.1f} %"]
    assert of is not None  # every method knows the difference
    return row(cell, [*words, f"{cell.energies * (of.deviation / 0.1) ** 2:.2g}"])


def row(cell: Cell, words: list[str]) -> str:
    of = f"{cell.kind}, ESS {cell.ess}"
    if cell.kind == "Gaussian":
        of = f"plain Gaussian, ESS {of_gaussian(cell.system):.1g}"
    return "| " + " | ".join([cell.system.name, of, cell.method, *words]) + " |"


if __name__ == "__main__":
    main()
