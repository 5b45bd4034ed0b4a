"""The harmonic system, of which everything is known exactly."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from lit_bg.energies.base import Energy, Observable
from lit_bg.energies.quadrature import normal_bins
from lit_bg.spaces import Vectors


class Gaussian(Energy):
    r"""Defines a harmonic well: $U(x) = \frac12 (x - \mu)^T C^{-1} (x - \mu)$, and exp(-u) a Gaussian of covariance kT C.

    $\log Z = \frac12 \log\det(2 \pi\, kT\, C)$ at any kT.

    Args:
        dim: number of coordinates D.
        loc: mean, one number or one per coordinate.
        scale: standard deviation at kT = 1, one number or one per coordinate.
        covariance: C, D rows of D numbers, instead of `scale`.
        kT: temperature in units of the energy.

    Raises:
        ValueError: sizes that do not fit `dim`, or a covariance that is not positive definite.

    >>> g = Gaussian(3, scale=2.0)
    >>> round(g.log_Z, 6) == round(1.5 * math.log(2 * math.pi) + 3 * math.log(2), 6)
    True
    """

    mean: Tensor
    chol: Tensor  # C = chol chol^T
    whiten: Tensor  # inverse of chol

    def __init__(
        self,
        dim: int = 2,
        loc: float | list[float] = 0.0,
        scale: float | list[float] = 1.0,
        covariance: list[list[float]] | None = None,
        kT: float = 1.0,
    ) -> None:
        super().__init__(kT)
        self.space = Vectors(dim)
        for name, given in (("loc", loc), ("scale", scale), ("covariance", covariance)):
            if isinstance(given, list) and torch.tensor(given).shape not in ((dim,), (dim, dim)):
                raise ValueError(f"Gaussian has dim={dim}, but {name} has shape {tuple(torch.tensor(given).shape)}.")
        self.loc, self.scale, self.covariance = loc, scale, covariance
        std = torch.as_tensor(scale, dtype=torch.float64).expand(dim)
        if not (std > 0).all():
            raise ValueError(f"Gaussian needs a positive scale, got {scale}.")
        c = torch.diag(std**2) if covariance is None else torch.tensor(covariance, dtype=torch.float64)
        chol, failed = torch.linalg.cholesky_ex(c)
        if failed or not torch.allclose(c, c.T):
            raise ValueError(f"Gaussian needs a symmetric positive definite covariance, got {covariance}.")
        identity = torch.eye(dim, dtype=torch.float64)
        self.register_buffer("mean", torch.as_tensor(loc, dtype=torch.float64).expand(dim).clone(), persistent=False)
        self.register_buffer("chol", chol, persistent=False)
        self.register_buffer("whiten", torch.linalg.solve_triangular(chol, identity, upper=False), persistent=False)

    def potential(self, x: Tensor) -> Tensor:
        z = (x - self.mean.to(x.dtype)) @ self.whiten.to(x.dtype).T
        return 0.5 * (z**2).sum(-1)

    @property
    def log_Z(self) -> float:
        return 0.5 * self.dim * math.log(2 * math.pi * self.kT) + self.chol.diagonal().log().sum().item()

    @property
    def _std(self) -> Tensor:
        return (self.kT * (self.chol**2).sum(-1)).sqrt().cpu()

    @property
    def box(self) -> Tensor:
        mean = self.mean.cpu()
        return torch.stack([mean - 4.5 * self._std, mean + 4.5 * self._std]).to(torch.get_default_dtype())

    @property
    def observables(self) -> dict[str, Observable]:
        mean, std = self.mean[0].item(), self._std[0].item()
        bins = partial(normal_bins, mean, std)
        return {
            "x1": Observable(lambda x: x[..., 0], range=(mean - 4 * std, mean + 4 * std), exact=mean, exact_bins=bins),
            "x1^2": Observable(lambda x: x[..., 0] ** 2, exact=mean**2 + std**2),
        }

    @property
    def initial(self) -> Tensor:
        return self.mean.cpu()[None].to(torch.get_default_dtype())

    def exact_samples(self, n: int, rng: torch.Generator) -> Tensor:
        z = torch.randn(n, self.dim, generator=rng, device=rng.device, dtype=torch.float64)
        x = self.mean.to(z) + math.sqrt(self.kT) * z @ self.chol.to(z).T
        return x.to(torch.get_default_dtype())
