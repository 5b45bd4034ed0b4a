"""The trigonometric interpolant, along quarter circles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lit_bg.interpolants.base import Interpolant


class Trigonometric(Interpolant):
    r"""Interpolates $x_t = \cos(\frac{\pi}{2} t) x_0 + \sin(\frac{\pi}{2} t) x_1$, which keeps a variance that both ends share.

    References:
        Albergo, Vanden-Eijnden, ICLR 2023, arXiv:2209.15571.
    """

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angle = 0.5 * math.pi * t
        return torch.cos(angle), torch.sin(angle), torch.zeros_like(t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angle, turn = 0.5 * math.pi * t, 0.5 * math.pi
        return -turn * torch.sin(angle), turn * torch.cos(angle), torch.zeros_like(t)
