"""The linear interpolant, along straight lines."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.interpolants.base import Interpolant


class Linear(Interpolant):
    r"""Interpolates $x_t = (1 - t) x_0 + t x_1 + a\, t (1 - t)\, \xi$: straight paths, with optional noise in between.

    Args:
        noise: a; zero gives conditional flow matching.

    Raises:
        ValueError: negative noise.

    References:
        Liu, Gong, Liu, ICLR 2023, arXiv:2209.03003; Lipman et al., ICLR 2023, arXiv:2210.02747.
    """

    def __init__(self, noise: float = 0.0) -> None:
        if noise < 0:
            raise ValueError(f"the noise of an interpolant must not be negative, got {noise}.")
        self.noise = noise

    @property
    def latent(self) -> bool:
        return self.noise > 0

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return 1 - t, 1 * t, self.noise * t * (1 - t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        one = torch.ones_like(t)
        return -one, one, self.noise * (1 - 2 * t)
