"""Mixtures of Gaussians, the 40-mode test set among them."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from importlib.resources import files
from typing import Self

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.quadrature import normal_bins
from lit_bg.spaces import Vectors

SOFTPLUS_1 = 1.3132616875182228  # log(1 + e), the scale of the 40-mode set


class GaussianMixture(Energy):
    r"""Mixes isotropic Gaussians as an energy, $U(x) = -\log \sum_k w_k N(x; \mu_k, s_k^2)$, log Z = 0.

    Without arguments it is the 40-mode set of the FAB paper: means uniform in [-40, 40]^2, equal
    weights, scale softplus(1). Its means are a table in this package, because the seed that made them
    gives others in double precision. Its closest two modes are 1.18 apart and look like one. (FAB sets
    log p below -1e4 to -inf; here nothing is cut.)

    A mode is the region nearest to one mean. Where modes overlap its probability is not w_k; in two
    dimensions it is integrated, at any kT, otherwise given for separated modes only.

    Args:
        means: K rows of D numbers; the 40-mode set if not given.
        scale: standard deviation, one number or one per component.
        weights: of the components, positive, normalised here; equal if not given.
        kT: temperature; exact samples exist at kT = 1 only.

    Raises:
        ValueError: sizes that do not fit each other, scales or weights that are not positive.

    References:
        Midgley, Stimper, Simm, Schoelkopf, Hernandez-Lobato, ICLR 2023, arXiv:2208.01893 (40 modes).

    >>> GaussianMixture(means=[[-5.0, 0.0], [5.0, 0.0]], scale=1.0, weights=[0.2, 0.8]).modes.names
    ('mode 1', 'mode 2')
    """

    mu: Tensor
    std: Tensor
    log_weight: Tensor

    def __init__(
        self,
        means: list[list[float]] | None = None,
        scale: float | list[float] = SOFTPLUS_1,
        weights: list[float] | None = None,
        kT: float = 1.0,
    ) -> None:
        super().__init__(kT)
        self.means, self.scale, self.weights = means, scale, weights
        mu = _forty_means() if means is None else torch.tensor(means, dtype=torch.float64)
        if mu.ndim != 2:
            raise ValueError(f"GaussianMixture takes means as K rows of D numbers, got shape {tuple(mu.shape)}.")
        k = len(mu)
        s = torch.as_tensor(scale, dtype=torch.float64)
        w = torch.ones(k, dtype=torch.float64) if weights is None else torch.tensor(weights, dtype=torch.float64)
        if w.shape != (k,) or s.shape not in ((), (k,)):
            raise ValueError(f"GaussianMixture has {k} means, but {w.numel()} weights and {s.numel()} scales.")
        if not ((w > 0).all() and (s > 0).all()):
            raise ValueError(f"GaussianMixture needs positive weights and scales, got {weights=} and {scale=}.")
        self.space = Vectors(mu.shape[1])
        self.register_buffer("mu", mu, persistent=False)  # (K, D)
        self.register_buffer("std", s.expand(k).clone(), persistent=False)  # (K,)
        self.register_buffer("log_weight", (w / w.sum()).log(), persistent=False)  # (K,)

    @classmethod
    def forty(cls, kT: float = 1.0) -> Self:
        """Return the 40-mode set."""
        return cls(kT=kT)

    def potential(self, x: Tensor) -> Tensor:
        mu, std = self.mu.to(x.dtype), self.std.to(x.dtype)
        r2 = ((x[..., None, :] - mu) ** 2).sum(-1)
        log_norm = self.log_weight.to(x.dtype) - self.dim * (std.log() + 0.5 * math.log(2 * math.pi))
        return -torch.logsumexp(log_norm - 0.5 * r2 / std**2, -1)

    @property
    def _key(self) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...], tuple[float, ...], float]:
        rows = tuple(tuple(row) for row in self.mu.tolist())
        return rows, tuple(self.std.tolist()), tuple(self.log_weight.exp().tolist()), self.kT

    @property
    def log_Z(self) -> float | None:
        if self.kT == 1:
            return 0.0
        return _planar_log_Z(*self._key) if self.dim == 2 else None

    @property
    def box(self) -> Tensor:
        margin = 4.5 * self.std.max().cpu() * math.sqrt(max(self.kT, 1.0))
        mu = self.mu.cpu()
        return torch.stack([mu.amin(0) - margin, mu.amax(0) + margin]).to(torch.get_default_dtype())

    @property
    def observables(self) -> dict[str, Observable]:
        mean = self.log_weight.exp() @ self.mu
        lower, upper = self.box.tolist()
        known = self.kT == 1
        return {
            f"x{i + 1}": Observable(
                partial(_coordinate, i=i),
                range=(lower[i], upper[i]),
                exact=mean[i].item() if known else None,
                exact_bins=partial(self._bins, i) if known else None,
            )
            for i in range(min(self.dim, 2))
        }

    def _bins(self, i: int, edges: Tensor) -> Tensor:
        """Return P of every bin of a coordinate at kT = 1, (K,)."""
        return self.log_weight.exp().cpu() @ normal_bins(self.mu[:, i], self.std, edges)

    @property
    def modes(self) -> Modes:
        exact: Tensor | None = None
        if self.dim == 2:
            exact = torch.tensor(_planar_populations(*self._key), dtype=torch.float64)
        elif self.kT == 1 and (len(self.mu) == 1 or torch.pdist(self.mu).min() > 10 * self.std.max()):
            exact = self.log_weight.exp().cpu()  # less than 1e-6 of a mode lies beyond 5 sigma
        return Modes(
            names=tuple(f"mode {k + 1}" for k in range(len(self.mu))),
            label=lambda x: torch.cdist(x, self.mu.to(x)).argmin(-1),
            exact=exact,
        )

    @property
    def initial(self) -> Tensor:
        return self.mu.cpu().to(torch.get_default_dtype())

    @property
    def has_exact_samples(self) -> bool:
        return self.kT == 1

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        if self.kT != 1:
            raise NotImplementedError(
                f"a mixture at kT={self.kT} is no mixture of Gaussians: draw at kT=1 and reweight, or simulate it."
            )
        weight = self.log_weight.exp().to(rng.device)
        k = torch.multinomial(weight, n, replacement=True, generator=rng)
        z = torch.randn(n, self.dim, generator=rng, device=rng.device, dtype=torch.float64)
        return (self.mu.to(z)[k] + self.std.to(z)[k, None] * z).to(torch.get_default_dtype())


def _coordinate(x: Tensor, i: int) -> Tensor:
    return x[..., i]


def _forty_means() -> Tensor:
    table = files("lit_bg.energies").joinpath("gmm40_means.csv").read_text()
    return torch.from_numpy(np.loadtxt(table.splitlines(), delimiter=",", comments="#"))


def _mixture(rows: tuple[tuple[float, ...], ...], std: tuple[float, ...], weight: tuple[float, ...]) -> GaussianMixture:
    return GaussianMixture([list(row) for row in rows], list(std), list(weight))


@lru_cache(maxsize=16)
def _planar_log_Z(rows: tuple[tuple[float, ...], ...], std: tuple[float, ...], weight: tuple[float, ...], kT: float) -> float:
    """Integrate by the trapezoid rule in the plane, on a grid that resolves the narrowest component."""
    mixture = _mixture(rows, std, weight)
    reach, step = 9 * max(std) * math.sqrt(max(kT, 1.0)), min(std) * math.sqrt(min(kT, 1.0)) / 2.5
    lower, upper = mixture.mu.amin(0) - reach, mixture.mu.amax(0) + reach
    x, y = (torch.arange(lo.item(), hi.item(), step, dtype=torch.float64) for lo, hi in zip(lower, upper, strict=True))
    log_p = [-mixture.potential(torch.cartesian_prod(part, y)) / kT for part in x.split(100)]
    return torch.logsumexp(torch.cat(log_p), 0).item() + 2 * math.log(step)


@lru_cache(maxsize=16)
def _planar_populations(
    rows: tuple[tuple[float, ...], ...], std: tuple[float, ...], weight: tuple[float, ...], kT: float
) -> tuple[float, ...]:
    r"""Return the probability of the region nearest to each mean, to about 1e-6.

    Such a region is convex and holds its mean, so it is $\int d\theta \int_0^{R(\theta)} r\,dr\; p$, where R is the
    distance to the nearest of the lines half way to the other means.
    """
    mixture = _mixture(rows, std, weight)
    nodes = min(math.ceil(48 * max(std) / min(std)), 400)
    theta = (torch.arange(360, dtype=torch.float64) + 0.5) * (2 * math.pi / 360)
    direction = torch.stack([theta.cos(), theta.sin()], -1)  # (A, 2)
    node, radial = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(nodes))
    cap = 9 * max(std) * math.sqrt(max(kT, 1.0))
    mass = []
    for mean in mixture.mu:
        to = mixture.mu - mean
        forward = direction @ to.T  # (A, K)
        edge = torch.where(forward > 0, 0.5 * (to**2).sum(-1) / forward, torch.inf).amin(-1).clamp_max(cap)
        r = 0.5 * edge[:, None] * (1 + node)  # (A, nodes)
        density = torch.exp(-mixture.potential(mean + r[..., None] * direction[:, None]) / kT)
        mass.append((density * r * radial * 0.5 * edge[:, None]).sum().item())
    total = math.fsum(mass)
    return tuple(m / total for m in mass)
