"""The variance-exploding interpolant: noise added to unscaled data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.interpolants.base import Interpolant


class VarianceExploding(Interpolant):
    r"""Adds noise, $x_t = x_1 + \sigma x_0$, with $\sigma(t)^{1/\rho}$ linear in t from $\sigma_{max}$ to $\sigma_{min}$.

    Both are in widths of the data.

    Few large steps where all is noise, many small ones near the data. It does not start at the base of width one, so it is for
    `Diffusion` alone.

    Args:
        sigma_min, sigma_max: noise at t = 1 and at t = 0.
        rho: curvature; infinity gives the geometric series of Song et al. 2021.

    Raises:
        ValueError: noise that does not fall, or rho < 1.

    References:
        Song et al., ICLR 2021, arXiv:2011.13456.
        Karras, Aittala, Aila, Laine, NeurIPS 2022, arXiv:2206.00364, for rho = 7 and the limits.
    """

    def __init__(self, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> None:
        if not (0 < sigma_min < sigma_max and rho >= 1):
            raise ValueError(
                f"VarianceExploding needs 0 < sigma_min < sigma_max and rho >= 1, got {sigma_min=}, {sigma_max=}, {rho=}."
            )
        self.sigma_min, self.sigma_max, self.rho = sigma_min, sigma_max, rho

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.rho == math.inf:
            sigma = self.sigma_max * torch.exp(t * math.log(self.sigma_min / self.sigma_max))
        else:
            sigma = self._root(t) ** self.rho
        return sigma, torch.ones_like(t), torch.zeros_like(t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sigma, _, zero = self.coefficients(t)
        if self.rho == math.inf:
            return sigma * math.log(self.sigma_min / self.sigma_max), zero, zero
        slope = self.sigma_min ** (1 / self.rho) - self.sigma_max ** (1 / self.rho)
        return self.rho * slope * sigma / self._root(t), zero, zero

    def _root(self, t: Tensor) -> Tensor:
        """Return sigma to the power of 1 / rho."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return high + t * (low - high)
