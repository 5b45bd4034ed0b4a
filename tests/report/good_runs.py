"""Good generators, judged many times: how often is one called bad, and how often trusted? Run it to print the table.

python tests/report/good_runs.py --runs 300
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from lit_bg.data.dataset import Dataset
from lit_bg.energies import DW4, DoubleWell
from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.generators import Generator
from lit_bg.report.assess import assess
from lit_bg.simulators.base import Trajectory
from lit_bg.spaces import Vectors
from lit_bg.spaces.domain import Domain, Kind

IMAGES = torch.arange(-2, 3).double() * 2 * math.pi


class Mixture(Generator):
    """Normal densities.

    Args:
        weights: (K,).
        means: (K, D).
        covariances: (K, D, D).
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor):
        super().__init__()
        self.weights, self.means, self.roots = weights, means, torch.linalg.cholesky(covariances)
        self.inverse = torch.linalg.inv(self.roots)
        self.log_norm = self.roots.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * means.shape[1] * math.log(2 * math.pi)

    def build(self, energy):
        self.event_shape = energy.event_shape
        self.dummy = nn.Parameter(torch.zeros(()))
        return self

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        k = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, self.means.shape[1], 1, generator=rng, dtype=torch.float64)
        return self.means[k] + (self.roots[k] @ noise)[..., 0]

    def sample(self, n, rng, context=None):
        x = self.draw(n, rng)
        return x, self.log_density(x)

    def log_prob(self, x, context=None):
        return self.log_density(x.double())

    def log_density(self, y: Tensor) -> Tensor:
        parts = []
        for part in y.split(2000):
            z = torch.einsum("kij,kbj->kbi", self.inverse, part[None] - self.means[:, None])
            parts.append(torch.logsumexp(self.weights.log()[:, None] - 0.5 * z.square().sum(-1) - self.log_norm[:, None], 0))
        return torch.cat(parts)


def fit_mixture(y: Tensor, k: int, rounds: int, rng: torch.Generator, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """Fit normal densities by expectation and maximisation; returns weights, means, covariances."""
    n, d = y.shape
    means = y[torch.randperm(n, generator=rng)[:k]].clone()
    covariances = (0.1 * y.T.cov()).expand(k, d, d)
    weights = torch.full((k,), 1 / k, dtype=torch.float64)
    for _ in range(rounds):
        root = torch.linalg.cholesky(covariances)
        inverse = torch.linalg.inv(root)
        total, first, second = torch.zeros(k).double(), torch.zeros(k, d).double(), torch.zeros(k, d, d).double()
        for part in y.split(4000):
            z = torch.einsum("kij,kbj->kbi", inverse, part[None] - means[:, None])
            norm = weights.log() - root.diagonal(dim1=1, dim2=2).log().sum(1)
            r = torch.softmax(norm[:, None] - 0.5 * z.square().sum(-1), 0)
            total += r.sum(1)
            first += r @ part
            second += torch.einsum("kb,bi,bj->kij", r, part, part)
        total = total.clamp_min(1e-3)
        weights, means = total / total.sum(), first / total[:, None]
        covariances = second / total[:, None, None] - means[:, :, None] * means[:, None] + ridge * torch.eye(d)
    return weights, means, covariances


class Torus(Energy):
    """Sixty independent angles, each of two wrapped normal densities; the first visits its second state with 0.2 %."""

    def __init__(self, *knows: str, dim: int = 60):
        super().__init__()
        self.knows = knows
        circles = torch.full((dim,), int(Kind.CIRCULAR))
        self.space = Vectors(dim, Domain(circles, torch.full((dim,), -math.pi), torch.full((dim,), math.pi)))
        g = torch.Generator().manual_seed(3)
        self.loc = torch.stack([-2.0 + torch.rand(dim, generator=g), 0.5 + torch.rand(dim, generator=g)]).double()
        self.width = (0.15 + 0.3 * torch.rand(2, dim, generator=g)).double()
        self.right = (0.1 + 0.6 * torch.rand(dim, generator=g)).double()
        self.right[0] = 0.002

    @property
    def log_Z(self):
        return 0.0 if "log Z" in self.knows else None

    @property
    def modes(self):
        p = self.right[0].item()
        exact = torch.tensor([1 - p, p]) if "populations" in self.knows else None
        return Modes(("common", "rare"), lambda x: (x[:, 0] > -0.4).long(), exact)

    @property
    def observables(self):
        pi = (-math.pi, math.pi)
        found = {f"phi{k}": Observable(lambda x, k=k: x[:, k], "rad", pi, periodic=True) for k in range(0, self.dim, 10)}
        return found | {"cos": Observable(lambda x: x.cos().mean(1))}

    def potential(self, x):
        return -log_wrapped(x, self.loc, self.width, self.right)

    def exact_samples(self, n, rng):
        return draw_wrapped(n, self.loc, self.width, self.right, rng)


def log_wrapped(x: Tensor, loc: Tensor, width: Tensor, right: Tensor) -> Tensor:
    z = (x.double()[:, None, :, None] - loc[..., None] + IMAGES) / width[..., None]
    each = torch.logsumexp(-0.5 * z**2, -1) - width.log() - 0.5 * math.log(2 * math.pi)
    return torch.logaddexp(each[:, 0] + torch.log1p(-right), each[:, 1] + right.log()).sum(1)


def draw_wrapped(n: int, loc: Tensor, width: Tensor, right: Tensor, rng: torch.Generator) -> Tensor:
    side = (torch.rand(n, loc.shape[1], generator=rng).double() < right).long()
    at, wide = loc.T.gather(1, side.T).T, width.T.gather(1, side.T).T
    x = at + wide * torch.randn(n, loc.shape[1], generator=rng).double()
    return torch.remainder(x + math.pi, 2 * math.pi) - math.pi


class Angles(Generator):
    """A `Torus` with every parameter a little off."""

    def __init__(self, off: float):
        super().__init__()
        self.off = off

    def build(self, energy):
        g = torch.Generator().manual_seed(4)
        self.event_shape = energy.event_shape

        def wrong() -> Tensor:
            return self.off * torch.randn(energy.dim, generator=g).double()

        self.loc = energy.loc + energy.width * torch.stack([wrong(), wrong()])
        self.width = energy.width * (1 + self.off)
        odds = (energy.right / (1 - energy.right)).log() + wrong()
        self.right = torch.sigmoid(odds)
        self.dummy = nn.Parameter(torch.zeros(()))
        return self

    def sample(self, n, rng, context=None):
        x = draw_wrapped(n, self.loc, self.width, self.right, rng)
        return x, self.log_prob(x)

    def log_prob(self, x, context=None):
        return log_wrapped(x, self.loc, self.width, self.right)


class TwoWells(Energy):
    """Unit Gaussians at x1 = -6 and 6 with equal weight."""

    space = Vectors(2)

    def __init__(self, *knows: str):
        super().__init__()
        self.knows = knows

    def potential(self, x):
        y = 0.5 * x[:, 1:].square().sum(1) + math.log(2 * math.pi) + math.log(2)
        return y - torch.logaddexp(-0.5 * (x[:, 0] - 6) ** 2, -0.5 * (x[:, 0] + 6) ** 2)

    @property
    def log_Z(self):
        return 0.0 if "log Z" in self.knows else None

    @property
    def modes(self):
        exact = torch.tensor([0.5, 0.5]) if "populations" in self.knows else None
        return Modes(("left", "right"), lambda x: (x[:, 0] > 0).long(), exact)

    @property
    def observables(self):
        exact = 0.0 if "x1" in self.knows else None
        return {"x1": Observable(lambda x: x[:, 0], exact=exact), "y2": Observable(lambda x: x[:, 1] ** 2)}

    def exact_samples(self, n, rng):
        x = torch.randn(n, 2, generator=rng)
        x[:, 0] += 12.0 * (torch.rand(n, generator=rng) < 0.5) - 6
        return x


def two_normals(at: float, right: float, width: tuple[float, float], along: float = 1.0) -> Mixture:
    means = torch.tensor([[-at, 0.0], [at, 0.0]]).double()
    covariances = torch.diag_embed(torch.tensor([[width[0] ** 2, along**2], [width[1] ** 2, along**2]])).double()
    return Mixture(torch.tensor([1 - right, right]).double(), means, covariances)


class Turned(Generator):
    """Planar particles: a mixture in the frame of one direction, turned at random; the density is that of both.

    In an orthonormal basis without a centre of mass the first pair of coordinates is r (cos t, sin t); the mixture is of log r
    and of the other pairs turned back by t, so that q = mixture / (2 pi r^2).
    """

    def __init__(self, mixture: Mixture, basis: Tensor):
        super().__init__()
        self.mixture, self.basis = mixture, basis

    def build(self, energy):
        self.event_shape = energy.event_shape
        self.mixture.build(energy)
        return self

    @staticmethod
    def turned_back(y: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates in the frame of the first pair, and log 2 pi r^2."""
        pairs = torch.view_as_complex(y.reshape(len(y), -1, 2).contiguous())
        r = pairs[:, 0].abs()
        rest = torch.view_as_real(pairs[:, 1:] * (pairs[:, :1].conj() / r[:, None])).flatten(1)
        return torch.cat([r.log()[:, None], rest], 1), math.log(2 * math.pi) + 2 * r.log()

    def sample(self, n, rng, context=None):
        z = self.mixture.draw(n, rng)
        turn = torch.polar(torch.ones(n).double(), 2 * math.pi * torch.rand(n, generator=rng).double())
        r = z[:, 0].exp()
        rest = torch.view_as_complex(z[:, 1:].reshape(n, -1, 2).contiguous())
        pairs = torch.cat([r[:, None].to(rest), rest], 1) * turn[:, None]
        x = torch.view_as_real(pairs).flatten(1) @ self.basis
        return x.reshape(n, *self.event_shape), self.mixture.log_density(z) - math.log(2 * math.pi) - 2 * z[:, 0]

    def log_prob(self, x, context=None):
        z, log_volume = self.turned_back(x.flatten(1).double() @ self.basis.T)
        return self.mixture.log_density(z) - log_volume


@cache
def dw4_mixture(components: int = 400, rounds: int = 25) -> Turned:
    """Normal densities fitted to frames of four particles, without their centre of mass and turned at random.

    They are a fifth wider than the fit: as tight as it comes its tails are thinner than the target's, and k-hat says so.
    """
    basis = torch.linalg.svd(torch.eye(4).double() - 0.25)[0][:, :3].T  # rows: directions without a centre of mass
    basis = torch.kron(basis.contiguous(), torch.eye(2).double())
    z, _ = Turned.turned_back(sampled(DW4()).flatten(1).double() @ basis.T)
    weights, means, covariances = fit_mixture(z, components, rounds, torch.Generator().manual_seed(1), 1e-3)
    return Turned(Mixture(weights, means, 1.2 * covariances), basis)


def sampled(energy: Energy, walkers: int = 4000, steps: int = 3000, seed: int = 0) -> Tensor:
    """Frames by random-walk Metropolis from a wide start, with all symmetries of identical particles applied at random."""
    g = torch.Generator().manual_seed(seed)
    x = 2.5 * torch.randn(walkers, *energy.event_shape, generator=g).double()
    x -= x.mean(1, keepdim=True)
    u, kept = energy(x), []
    for step in range(steps):
        new = x + 0.3 * torch.randn(x.shape, generator=g).double()
        new -= new.mean(1, keepdim=True)
        u_new = energy(new)
        yes = torch.rand(walkers, generator=g) < (u - u_new).exp()
        x, u = torch.where(yes[:, None, None], new, x), torch.where(yes, u_new, u)
        if step >= steps // 2 and step % 100 == 0:
            turn = 2 * math.pi * torch.rand(walkers, generator=g).double()
            c, s = turn.cos(), turn.sin()
            rotation = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
            order = torch.argsort(torch.rand(walkers, 4, generator=g), 1)
            kept.append((x @ rotation).gather(1, order[..., None].expand_as(x)))
    return torch.cat(kept)


def exact_data(energy: Energy, seed: int, walkers: int = 20, frames: int = 400) -> Dataset:
    x = energy.exact_samples(walkers * frames, torch.Generator().manual_seed(seed)).float()
    return Dataset.from_trajectory(energy, Trajectory(x.reshape(frames, walkers, *energy.event_shape)))


@dataclass(frozen=True)
class Good:
    """A system, what is known of it, and a generator without fault."""

    name: str
    energy: Callable[[], Energy]
    generator: Callable[[], Generator]
    witness: bool = True
    data: bool = False

    def words(self, n: int, runs: int) -> tuple[Counter, Counter, float]:
        """How often every word was said, why, and the mean ESS."""
        energy = self.energy()
        generator = self.generator().build(energy)
        words, reasons, ess = Counter(), Counter(), 0.0
        for run in range(runs):
            data = exact_data(energy, 1000 + run) if self.data else None
            found = assess(generator, energy, n, torch.Generator().manual_seed(run), data)
            words[found.verdict.word] += 1
            ess += found.findings.weights.ess / runs
            if found.verdict.word == "do not trust":
                reasons.update(found.verdict.reasons[:1])
        return words, reasons, ess


def double_well(right: float, width: float) -> Mixture:
    mixture = two_normals(1.7, right, (width, width), 1.2)
    return Mixture(mixture.weights, mixture.means + torch.tensor([-0.05, 0.0]), mixture.roots @ mixture.roots.mT)


GOOD = [
    Good("double well, right well proposed at 30 %", DoubleWell, lambda: double_well(0.3, 0.3)),
    Good("double well, right well proposed at 1 %", DoubleWell, lambda: double_well(0.01, 0.3)),
    Good("double well, right well proposed at 0.5 %", DoubleWell, lambda: double_well(0.005, 0.3)),
    Good("wells, log Z", lambda: TwoWells("log Z"), lambda: two_normals(6, 0.5, (1.1, 1.1), 1.1)),
    Good("wells, populations", lambda: TwoWells("populations"), lambda: two_normals(6, 0.3, (1.2, 1.1), 1.1)),
    Good("wells, <x1>", lambda: TwoWells("x1"), lambda: two_normals(6, 0.4, (1.1, 1.3), 1.1)),
    Good("wells, data", lambda: TwoWells(), lambda: two_normals(6, 0.4, (1.1, 1.3), 1.1), data=True),
    Good("wells, nothing but modes", lambda: TwoWells(), lambda: two_normals(6, 0.4, (1.1, 1.3), 1.1), witness=False),
    Good("torus, log Z", lambda: Torus("log Z"), lambda: Angles(0.05)),
    Good("torus, populations", lambda: Torus("populations"), lambda: Angles(0.05)),
    Good("torus, log Z and populations", lambda: Torus("log Z", "populations"), lambda: Angles(0.03)),
    Good("torus, data", lambda: Torus(), lambda: Angles(0.05), data=True),
    Good("torus, nothing but modes", lambda: Torus(), lambda: Angles(0.05), witness=False),
    Good("DW4, log Z and U", DW4, dw4_mixture),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=300)
    options.add_argument("--only", default="")
    arguments = options.parse_args()
    print("| good run | n | ESS | trust | unchecked | do not trust | because |\n|---|---|---|---|---|---|---|")
    for good in GOOD:
        if arguments.only not in good.name:
            continue
        for n in (300, 2000, 20_000):
            words, reasons, ess = good.words(n, arguments.runs)
            shares = [f"{100 * words[w] / arguments.runs:.1f} %" for w in ("trust", "unchecked", "do not trust")]
            because = "; ".join(f"{times} x {reason}" for reason, times in reasons.most_common(2))
            print(f"| {good.name.replace('<', '&lt;')} | {n} | {ess:.2f} | {' | '.join(shares)} | {because} |", flush=True)


if __name__ == "__main__":
    main()
