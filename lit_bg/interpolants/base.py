"""Contract of interpolants between a base density and the data."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Interpolant(ABC):
    r"""Interpolates $x_t = \alpha(t) x_0 + \beta(t) x_1 + \gamma(t) \xi$ between $x_0$ of the base and $x_1$ of the data.

    The noise is $\xi \sim N(0, 1)$.

    $\alpha(0) = \beta(1) = 1$, $\alpha(1) = \beta(0) = \gamma(0) = \gamma(1) = 0$, so that its law is that of the base at
    t = 0 and of the data at t = 1. With a normal base and without $\xi$ it is a diffusion with noise $\alpha$ and signal
    $\beta$, run backwards; those come near the ends and may start wider. The velocity
    $v(x, t) = E[\dot\alpha x_0 + \dot\beta x_1 + \dot\gamma \xi \,|\, x_t = x]$ carries the
    one into the other.

    References:
        Albergo, Boffi, Vanden-Eijnden, J. Mach. Learn. Res. 26 (2025), arXiv:2303.08797.
        Lipman, Chen, Ben-Hamu, Nickel, Le, ICLR 2023, arXiv:2210.02747.
    """

    @abstractmethod
    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return alpha, beta, gamma at times (B,)."""

    @abstractmethod
    def rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the time derivatives of alpha, beta, gamma."""

    def clock(self, t: Tensor) -> Tensor:
        """Return time as a network should see it, (B,), from 0 to 1: its features change evenly in it."""
        return t

    @property
    def latent(self) -> bool:
        """Return whether gamma is not zero everywhere."""
        return False

    def at(self, t: Tensor, x0: Tensor, x1: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return x_t and its rate of change, (B, *event_shape) each; `noise` is xi, None where gamma is zero."""
        shape = (-1, *[1] * (x0.ndim - 1))
        parts = [x0, x1] if noise is None else [x0, x1, noise]
        x, rate = torch.zeros_like(x1), torch.zeros_like(x1)
        for part, c, dc in zip(parts, self.coefficients(t), self.rates(t), strict=False):
            x, rate = x + c.reshape(shape) * part, rate + dc.reshape(shape) * part
        return x, rate
