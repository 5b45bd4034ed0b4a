"""The variance-preserving interpolant: the Ornstein-Uhlenbeck process, run backwards."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.interpolants.base import Interpolant


class VariancePreserving(Interpolant):
    r"""Mixes noise and data, $x_t = \sigma x_0 + \sqrt{1 - \sigma^2}\, x_1$ with $\sigma^2 = 1 - e^{-B}$.

    $B = \beta_0 \tau + (\beta_1 - \beta_0) \tau^2 / 2$ in noising time $\tau = 1 - (1 - c) t$, which ends a little before the
    data, where $\sigma$ rises as a square root. The defaults leave e^-5 = 0.7 % of the data at t = 0 and noise of width 0.010
    at t = 1. $\beta_0 = \beta_1$ is the Ornstein-Uhlenbeck process at constant rate.

    Args:
        beta_min, beta_max: rates at the data and at the base.
        cut: c, the part of noising time that is left out.

    Raises:
        ValueError: rates that are not positive and rising, or a cut outside of (0, 1).

    References:
        Song et al., ICLR 2021, arXiv:2011.13456.
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0, cut: float = 1e-3) -> None:
        if not (0 < beta_min <= beta_max and 0 < cut < 1):
            raise ValueError(
                f"VariancePreserving needs 0 < beta_min <= beta_max and 0 < cut < 1, got {beta_min=}, {beta_max=}, {cut=}."
            )
        self.beta_min, self.beta_max, self.cut = beta_min, beta_max, cut

    def _grown(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return B and its derivative by t."""
        tau, rise = 1 - (1 - self.cut) * t, self.beta_max - self.beta_min
        return tau * (self.beta_min + 0.5 * tau * rise), (self.cut - 1) * (self.beta_min + tau * rise)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grown, _ = self._grown(t)
        return torch.sqrt(-torch.expm1(-grown)), torch.exp(-0.5 * grown), torch.zeros_like(t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, rate = self._grown(t)
        sigma, alpha, zero = self.coefficients(t)
        return 0.5 * rate * alpha**2 / sigma, -0.5 * rate * alpha, zero

    def clock(self, t: Tensor) -> Tensor:
        return 1 - 2 / math.pi * torch.asin(self.coefficients(t)[0])
