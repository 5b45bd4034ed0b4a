"""Generators, data and energies that are wrong, each with the word it deserves; run it to print the table of docs/verdict.md.

python tests/report/wrong_generators.py
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lit_bg.bases.canonical import Canonical
from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.knowledge import Value
from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.generators import CouplingFlow, Generator
from lit_bg.report.assess import Judgement, assess
from lit_bg.simulators.base import Trajectory
from lit_bg.spaces import Particles, Vectors

LOG_2PI = math.log(2 * math.pi)
N = 20_000


def log_normal(x: Tensor, loc: float | Tensor, scale: float) -> Tensor:
    return (-0.5 * ((x - loc) / scale) ** 2 - 0.5 * LOG_2PI - math.log(scale)).flatten(1).sum(1)


class Wells(Energy):
    """Unit Gaussians at x1 = -6 and 6, the right one with probability `right`; log Z = 0. `knows` says what is told of it."""

    def __init__(self, *knows: str, right: float = 0.5, dim: int = 2, starts: bool = False, kT: float = 1.0):
        super().__init__(kT)
        self.knows, self.right, self.starts = knows, right, starts
        self.event_shape = (dim,)

    def centre(self, side: int) -> Tensor:
        return torch.tensor([6.0 * side] + [0.0] * (self.dim - 1))

    def potential(self, x):
        left, right = log_normal(x, self.centre(-1).to(x), 1.0), log_normal(x, self.centre(1).to(x), 1.0)
        return -torch.logaddexp(left + math.log1p(-self.right), right + math.log(self.right))

    @property
    def log_Z(self):
        return 0.0 if "log Z" in self.knows else None

    @property
    def modes(self):
        if not {"modes", "populations"} & set(self.knows):
            return None
        exact = torch.tensor([1 - self.right, self.right]) if "populations" in self.knows else None
        return Modes(("left", "right"), lambda x: (x[:, 0] > 0).long(), exact)

    @property
    def observables(self):
        known = {"x1": 6 * (2 * self.right - 1), "y": 0.0, "y2": 1.0}
        functions = {"x1": lambda x: x[:, 0], "y": lambda x: x[:, -1], "y2": lambda x: x[:, -1] ** 2}
        return {k: Observable(f, exact=known[k] if k in self.knows else None) for k, f in functions.items()}

    @property
    def initial(self):
        return torch.stack([self.centre(-1), self.centre(1)]) if self.starts else None

    def exact_samples(self, n, rng):
        side = 2.0 * (torch.rand(n, generator=rng) < self.right) - 1
        x = torch.randn(n, self.dim, generator=rng)
        x[:, 0] += 6 * side
        return x


class Heavy(Energy):
    """Student's t with three degrees of freedom, <x^2> = 3 and log Z = 0."""

    space = Vectors(1)
    log_Z = 0.0
    observables = {"x^2": Observable(lambda x: x[:, 0] ** 2), "x": Observable(lambda x: x[:, 0], exact=0.0)}  # noqa: RUF012

    def potential(self, x):
        return -torch.distributions.StudentT(torch.tensor(3.0, dtype=x.dtype)).log_prob(x).sum(-1)


class Spike(Energy):
    """A unit Gaussian and 3 % of the probability in a spike of width 0.02."""

    space = Vectors(2)
    log_Z = 0.0

    def potential(self, x):
        spike = log_normal(x, torch.tensor([4.0, 0.0]).to(x), 0.02)
        return -torch.logaddexp(log_normal(x, 0.0, 1.0) + math.log(0.97), spike + math.log(0.03))


class Holes(Energy):
    """A unit Gaussian, NaN in a part of the plane that holds `share` of it."""

    space = Vectors(2)
    log_Z = 0.0

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def potential(self, x):
        angle = torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi) + 0.5
        return torch.where(angle < self.share, torch.nan, -log_normal(x, 0.0, 1.0))


class Handed(Energy):
    """Two coordinates of which the first is a hand: the potential is even in it, and the target has the positive one."""

    space = Vectors(2)
    observables = {"y": Observable(lambda x: x[:, 1])}  # noqa: RUF012

    def potential(self, x):
        return 0.5 * ((x[:, 0].abs() - 5) ** 2 + x[:, 1] ** 2)

    def in_region(self, x):
        return x[:, 0] > 0


class Beads(Energy):
    """Four particles on springs to their centre in the plane, without a centre of mass: log Z = 3 ln 2 pi, <r^2> = 6."""

    space = Particles(4, 2)
    symmetries = frozenset({"translation", "rotation", "reflection"})

    def __init__(self, *knows: str):
        super().__init__()
        self.knows = knows

    def potential(self, x):
        return 0.5 * (x - x.mean(1, keepdim=True)).square().flatten(1).sum(1)

    @property
    def log_Z(self):
        return 3 * LOG_2PI if "log Z" in self.knows else None

    @property
    def observables(self):
        return {"r2": Observable(lambda x: x.square().flatten(1).sum(1), exact=6.0 if "r2" in self.knows else None)}


class Faulty(Generator):
    """Normal densities at the wells, with weight `right` of the right one, and one fault.

    Args:
        right, scale: of the mixture that is drawn.
        claimed: of the mixture whose density is told, where it differs.
        in_sample, in_log_prob: nats added to log q.
        noise: standard deviation of noise in the log q of `sample`.
        arrange: what happens to drawn configurations, in their order, before log q is told.
        density: whether there is a log_prob.
        exact: whether log q is said to be exact.
    """

    def __init__(
        self,
        right: float = 0.5,
        scale: float = 1.0,
        claimed: tuple[float, float] | None = None,
        in_sample: float = 0.0,
        in_log_prob: float = 0.0,
        noise: float = 0.0,
        arrange: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        density: bool = True,
        exact: bool = True,
        at: float = 6.0,
        tell: Callable[[Tensor, Tensor], Tensor] | None = None,
    ):
        super().__init__()
        self.drawn = right, scale
        self.claimed = self.drawn if claimed is None else claimed
        self.in_sample, self.in_log_prob, self.noise = in_sample, in_log_prob, noise
        self.arrange, self.density, self.exact, self.at, self.tell = arrange, density, exact, at, tell

    def build(self, energy):
        self.event_shape = energy.event_shape
        self.weight = nn.Parameter(torch.zeros(()))
        return self

    @property
    def has_log_prob(self):
        return self.density

    @property
    def exact_density(self):
        return self.exact

    def _centre(self, side: float) -> Tensor:
        centre = torch.zeros(self.event_shape)
        centre.view(-1)[0] = self.at * side
        return centre

    def sample(self, n, rng, context=None):
        right, scale = self.drawn
        side = 2.0 * (torch.rand(n, generator=rng) < right) - 1
        x = scale * torch.randn(n, *self.event_shape, generator=rng)
        x += side.reshape(-1, *[1] * len(self.event_shape)) * self._centre(1.0)
        if self.arrange is not None:
            x = self.arrange(x, rng)
        log_q = self._log_q(x) + self.in_sample + self.noise * torch.randn(n, generator=rng)
        return x, log_q if self.tell is None else self.tell(x, log_q)

    def _log_q(self, x):
        right, scale = self.claimed
        parts = [(1 - right, -1.0), (right, 1.0)]
        logs = [log_normal(x, self._centre(side).to(x), scale) + math.log(w) for w, side in parts if w > 0]
        return torch.logsumexp(torch.stack(logs), 0)

    def log_prob(self, x, context=None):
        log_q = self._log_q(x) + self.in_log_prob
        return log_q if self.tell is None else self.tell(x, log_q)


class MeanFree(Generator):
    """Normal particles without a centre of mass; `extra` nats are a norm that counts other dimensions."""

    def __init__(self, extra: float = 0.0):
        super().__init__()
        self.extra = extra

    def build(self, energy):
        self.event_shape = energy.event_shape
        self.weight = nn.Parameter(torch.zeros(()))
        return self

    def sample(self, n, rng, context=None):
        x = torch.randn(n, *self.event_shape, generator=rng)
        x = x - x.mean(1, keepdim=True)
        return x, self.log_prob(x)

    def log_prob(self, x, context=None):
        n, d = self.event_shape
        return -0.5 * x.square().flatten(1).sum(1) - 0.5 * (n - 1) * d * LOG_2PI + self.extra


class ForgetfulFlow(CouplingFlow):
    """A flow without its Jacobian: in `sample`, and in `log_prob` unless `only_sample`."""

    def __init__(self, only_sample: bool = False, **arguments: Any):
        super().__init__(**arguments)
        self.only_sample = only_sample

    def sample(self, n, rng, context=None):
        z, log_p = self.prior.sample(n, rng)
        return self(z)[0], log_p

    def log_prob(self, x, context=None):
        return super().log_prob(x, context) if self.only_sample else self.prior.log_prob(self.inverse(x)[0])


class LooseBase(Canonical):
    """A standard normal density with a forgotten norm."""

    def log_prob(self, z):
        return super().log_prob(z) + 0.7


def unnormalised_flow() -> Generator:
    class Flow(CouplingFlow):
        def build(self, energy):
            super().build(energy)
            self.prior = LooseBase().on(self.coordinates.space)
            return self

    return Flow(blocks=1, hidden=(8,))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def copies(times: int, shuffled: bool = False, blur: float = 0.0) -> Callable[[Tensor, torch.Generator], Tensor]:
    def arrange(x, g):
        x = x[: -(-len(x) // times)].repeat_interleave(times, 0)[: len(x)]
        x = x[torch.randperm(len(x), generator=g)] if shuffled else x
        return x + blur * torch.randn(x.shape, generator=g)

    return arrange


def chain(x: Tensor, g: torch.Generator) -> Tensor:
    """An autoregressive series with the same marginals about its well: stationary, and not independent."""
    centre = 6.0 * x[:1, 0].sign()
    noise = torch.randn(x.shape, generator=g)
    y = [noise[0]]
    for step in noise[1:]:
        y.append(0.95 * y[-1] + math.sqrt(1 - 0.95**2) * step)
    y = torch.stack(y)
    y[:, 0] += centre
    return y


def sticky(x: Tensor, g: torch.Generator) -> Tensor:
    """A Metropolis chain that stays: every state is held for five draws on average."""
    moves = torch.rand(len(x), generator=g) < 0.2
    moves[0] = True
    return x[torch.where(moves, torch.arange(len(x)), 0).cummax(0).values]


def data(energy: Energy, x: Tensor | None = None, walkers: int = 20, frames: int = 400, kT: float | None = None) -> Dataset:
    """Frames of walkers, by default independent exact samples."""
    source = energy if kT is None else energy.at(kT)
    if x is None:
        x = source.exact_samples(walkers * frames, rng(99)).reshape(frames, walkers, *energy.event_shape)
    return Dataset.from_trajectory(energy, Trajectory(x))


def stuck_data(energy: Wells) -> Dataset:
    """Walkers that never leave the left well and hardly move there."""
    g = rng(5)
    start = torch.randn(8, energy.dim, generator=g)
    steps = 0.02 * torch.randn(200, 8, energy.dim, generator=g).cumsum(0)
    return data(energy, start + steps + energy.centre(-1))


def left_data(energy: Wells) -> Dataset:
    """Independent frames, all in the left well."""
    x = torch.randn(400, 20, energy.dim, generator=rng(6)) + energy.centre(-1)
    return data(energy, x)


def warm_data(energy: Wells, kT: float = 1.4) -> Dataset:
    """Independent frames of another temperature in the left well."""
    x = math.sqrt(kT) * torch.randn(400, 20, energy.dim, generator=rng(7)) + energy.centre(-1)
    return data(energy, x)


@dataclass(frozen=True)
class Case:
    """A wrong thing, what is known that might tell, the words that are right, and what the reason must name."""

    wrong: str
    known: str
    energy: Callable[[], Energy]
    generator: Callable[[], Generator]
    words: tuple[str, ...]
    names: str = ""
    n: int = N
    data: Callable[[Energy], Dataset] | None = None
    log_Z: Value | None = None
    not_trusted: tuple[str, ...] = field(default=())  # claims that must not be trusted, whatever the word of the run

    def judged(self, seed: int = 0) -> Judgement:
        """Draw and judge."""
        energy = self.energy()
        torch.manual_seed(seed)
        generator = self.generator().build(energy)
        frames = None if self.data is None else self.data(energy)
        return assess(generator, energy, self.n, rng(seed + 1), frames, self.log_Z)


NO, OPEN = ("do not trust",), ("unchecked",)
LEFT = {"right": 0.0}


def lost(known: str, energy: Callable[[], Energy], words: tuple[str, ...], names: str = "", **more: Any) -> Case:
    return Case("all in one of two wells", known, energy, lambda: Faulty(right=0.0), words, names, **more)


CASES = [
    # a lost mode
    lost("nothing", lambda: Wells(), OPEN, "could have shown a lost mode"),
    lost("<y>, the same in both", lambda: Wells("y"), OPEN, "cannot see a lost mode"),
    lost("<y>, and starting points in both", lambda: Wells("y", starts=True), OPEN, "cannot see a lost mode"),
    lost("<y> and <y^2>, the same in both", lambda: Wells("y", "y2"), OPEN, "cannot see a lost mode"),
    lost("modes", lambda: Wells("modes"), NO, "lost mode right"),
    lost("modes and <y>", lambda: Wells("modes", "y"), NO, "lost mode right"),
    lost("populations", lambda: Wells("populations"), NO, "lost mode right"),
    lost("log Z", lambda: Wells("log Z"), NO, "exact is 0"),
    lost(
        "an independent log Z of 0.00(2)",
        lambda: Wells(),
        NO,
        "thermodynamic",
        log_Z=Value(0.0, 0.02, "thermodynamic integration"),
    ),
    lost("an independent log Z of 0(1)", lambda: Wells(), OPEN, "lost mode", log_Z=Value(0.0, 1.0, "a guess")),
    lost("<x1>", lambda: Wells("x1"), NO, "<x1> reweighted"),
    lost("data of both wells", lambda: Wells(), NO, "lost", data=data),
    lost("data that hardly moved in the same well", lambda: Wells(), OPEN, "no witness", data=stuck_data),
    lost("data of another temperature in the same well", lambda: Wells(), OPEN, "no witness", data=warm_data),
    lost("modes, and data that never visited the right one", lambda: Wells("modes"), NO, "lost mode right", data=left_data),
    lost("populations, and data that never visited the right one", lambda: Wells("populations"), NO, "lost", data=left_data),
    Case(
        "3 % in a lost well, n = 300",
        "populations",
        lambda: Wells("populations", right=0.03),
        lambda: Faulty(right=0.0),
        ("unchecked", "do not trust"),
        "300 proposals cannot tell",
        n=300,
    ),
    Case("3 % in a lost well", "populations", lambda: Wells("populations", right=0.03), lambda: Faulty(right=0.0), NO, "lost"),
    Case(
        "0.2 % in a lost well", "populations", lambda: Wells("populations", right=0.002), lambda: Faulty(right=0.0), NO, "lost"
    ),
    Case(
        "0.2 % in a lost well",
        "log Z, with an error that sees it",
        lambda: Wells("log Z", right=0.002),
        lambda: Faulty(right=0.0),
        NO,
        "exact is 0",
    ),
    Case("0.2 % in a lost well", "modes", lambda: Wells("modes", right=0.002), lambda: Faulty(right=0.0), NO, "lost"),
    Case("a spike with 3 % is missed", "log Z", Spike, lambda: Faulty(at=0.0), NO, "exact is 0"),
    # log q that is not the density of the proposals
    Case(
        "a constant missing in sample and log_prob",
        "log Z",
        lambda: Wells("log Z"),
        lambda: Faulty(in_sample=-0.2, in_log_prob=-0.2),
        NO,
        "exact is 0",
    ),
    Case(
        "a constant missing in sample and log_prob",
        "data",
        lambda: Wells(),
        lambda: Faulty(in_sample=-0.2, in_log_prob=-0.2),
        ("trust",),
        data=data,
        not_trusted=("log Z",),
    ),
    Case(
        "a constant missing in sample and log_prob",
        "populations",
        lambda: Wells("populations"),
        lambda: Faulty(in_sample=-0.2, in_log_prob=-0.2),
        ("trust",),
        not_trusted=("log Z",),
    ),
    Case(
        "a constant missing in sample alone",
        "data",
        lambda: Wells(),
        lambda: Faulty(in_sample=-0.44),
        NO,
        "consistent",
        data=data,
    ),
    Case("a constant missing in sample alone", "nothing", lambda: Wells(), lambda: Faulty(in_sample=-0.44), NO, "consistent"),
    Case(
        "a constant missing in log_prob alone",
        "log Z",
        lambda: Wells("log Z"),
        lambda: Faulty(in_log_prob=0.3),
        NO,
        "consistent",
    ),
    Case("noise of 1 nat in log q", "data", lambda: Wells(), lambda: Faulty(noise=1.0), NO, "noise", data=data),
    Case("noise of 1 nat in log q", "nothing", lambda: Wells(), lambda: Faulty(noise=1.0), NO, "noise"),
    Case(
        "noise of 1 nat in log q, no log_prob",
        "log Z",
        lambda: Wells("log Z"),
        lambda: Faulty(noise=1.0, density=False),
        NO,
        "exact is 0",
    ),
    Case("log q is a random estimate", "log Z", lambda: Wells("log Z"), lambda: Faulty(exact=False), NO, "random estimate"),
    Case("proposals 30:70, log q of 50:50", "<x1>", lambda: Wells("x1"), lambda: Faulty(0.3, claimed=(0.5, 1.0)), NO, "<x1>"),
    Case(
        "proposals 30:70, log q of 50:50",
        "data",
        lambda: Wells("modes"),
        lambda: Faulty(0.3, claimed=(0.5, 1.0)),
        NO,
        "",
        data=data,
    ),
    Case(
        "proposals 30:70, log q of 50:50",
        "populations",
        lambda: Wells("populations"),
        lambda: Faulty(0.3, claimed=(0.5, 1.0)),
        NO,
        "P(left)",
    ),
    Case(
        "proposals 30:70, log q of 50:50",
        "log Z, which it does not move",
        lambda: Wells("log Z", "modes"),
        lambda: Faulty(0.3, claimed=(0.5, 1.0)),
        ("trust", "unchecked"),
        not_trusted=("<x1>", "P(left)", "P(right)"),
    ),
    Case(
        "proposals of width 0.9, log q of width 1",
        "populations",
        lambda: Wells("populations"),
        lambda: Faulty(0.5, 0.9, claimed=(0.5, 1.0)),
        ("trust", "unchecked"),
        not_trusted=("<y2>", "log Z"),
    ),
    Case(
        "proposals of width 0.9, log q of width 1",
        "<y^2> and populations",
        lambda: Wells("populations", "y2"),
        lambda: Faulty(0.5, 0.9, claimed=(0.5, 1.0)),
        NO,
        "<y2>",
    ),
    Case(
        "weights clipped through log q",
        "log Z",
        lambda: Wells("log Z"),
        lambda: Faulty(0.5, 0.7, tell=lambda x, q: torch.maximum(q, -2.5 - 0.5 * (x[:, 0].abs() - 6) ** 2)),
        NO,
        "",
    ),
    Case(
        "log_prob has no density for half of the proposals", "nothing", lambda: Wells(), lambda: HalfBlind(), NO, "consistent"
    ),
    Case("a flow that forgets its Jacobian", "nothing", lambda: Wells(), lambda: ForgetfulFlow(blocks=1, hidden=(8,)), NO, ""),
    Case(
        "a flow whose sample forgets its Jacobian",
        "nothing",
        lambda: Wells(),
        lambda: ForgetfulFlow(only_sample=True, blocks=1, hidden=(8,)),
        NO,
        "",
    ),
    # not independent
    Case("every proposal 100 times", "log Z", lambda: Wells("log Z"), lambda: Faulty(arrange=copies(100)), NO, "duplicates"),
    Case("every proposal 1000 times", "log Z", lambda: Wells("log Z"), lambda: Faulty(arrange=copies(1000)), NO, "duplicates"),
    Case(
        "every proposal twice, shuffled",
        "log Z",
        lambda: Wells("log Z"),
        lambda: Faulty(arrange=copies(2, True)),
        NO,
        "duplicates",
    ),
    Case(
        "copies with a little noise, shuffled",
        "log Z",
        lambda: Wells("log Z", dim=8),
        lambda: Faulty(arrange=copies(20, True, 1e-4)),
        NO,
        "duplicates",
    ),
    Case("a Markov chain", "nothing", lambda: Wells(), lambda: Faulty(right=0.0, arrange=chain), NO, "order of drawing"),
    Case(
        "a Metropolis chain that stays",
        "populations",
        lambda: Wells("populations"),
        lambda: Faulty(arrange=sticky),
        NO,
        "duplicates",
    ),
    # weights that are no good
    Case("t of 3 degrees of freedom from a normal density", "log Z", Heavy, lambda: Faulty(scale=1.7, at=0.0), NO, "<x^2>"),
    Case(
        "t of 3 degrees of freedom from a normal density", "log Z", Heavy, lambda: Faulty(scale=2.5, at=0.0), NO, "", n=100_000
    ),
    Case("proposals half as wide", "log Z", lambda: Wells("log Z", dim=4), lambda: Faulty(scale=0.5), NO, ""),
    Case("proposals far away", "log Z", lambda: Wells("log Z"), lambda: Faulty(at=12.0), NO, "effective samples"),
    Case(
        "all weight in a few samples",
        "populations",
        lambda: Wells("populations", dim=12),
        lambda: Faulty(scale=2.5),
        NO,
        "effective",
    ),
    Case("5 % of energies NaN", "log Z", lambda: Holes(0.05), lambda: Faulty(at=0.0), NO, "no finite energy"),
    Case(
        "5 % of log q NaN",
        "populations",
        lambda: Wells("populations"),
        lambda: Faulty(tell=lambda x, q: torch.where(x[:, 1] > 1.645, torch.nan, q)),
        NO,
        "no finite energy",
    ),
    Case("all energies NaN", "log Z", lambda: Holes(1.1), lambda: Faulty(at=0.0), NO, ""),
    Case("mirror images only", "nothing", Handed, lambda: Faulty(right=0.0, at=5.0), NO, "mirror images"),
    Case("one mirror image in ten", "nothing", Handed, lambda: Faulty(right=0.9, at=5.0), NO, "mirror images"),
    # particles
    Case("particles: norm of N d dimensions", "log Z", lambda: Beads("log Z"), lambda: MeanFree(-LOG_2PI), NO, "exact is"),
    Case(
        "particles: measure with a pinned particle",
        "log Z",
        lambda: Beads("log Z"),
        lambda: MeanFree(-math.log(4)),
        NO,
        "exact is",
    ),
    Case("particles: norm of N d dimensions", "<r^2>", lambda: Beads("r2"), lambda: MeanFree(-LOG_2PI), OPEN, ""),
]


class HalfBlind(Faulty):
    """`log_prob` knows one of two wells that are proposed."""

    def log_prob(self, x, context=None):
        return torch.where(x[:, 0] > 0, super().log_prob(x, context), -torch.inf)


def main() -> None:
    print("| wrong | known of the system | verdict | because |\n|---|---|---|---|")
    for case in CASES:
        verdict = case.judged().verdict
        because = verdict.reasons[0] if verdict.reasons else "; ".join(f"{c.name}: {c.word}" for c in verdict.claims)
        cells = (case.wrong, case.known, verdict.word, because)
        print(f"| {' | '.join(cell.replace('|', chr(92) + '|').replace('<', '&lt;') for cell in cells)} |")


if __name__ == "__main__":
    main()
