"""The affine map of RealNVP."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.spaces.domain import Kind
from lit_bg.transforms.conditional import ConditionalMap, bounded_log_scale


class Affine(ConditionalMap):
    r"""Maps $x = e^s z + t$ with $|s| < 3$, for coordinates on the real line.

    Raises:
        ValueError: a bounded or circular coordinate, which an affine map would carry out of its interval.

    References:
        Dinh, Sohl-Dickstein, Bengio, Density estimation using Real NVP (2017), arXiv:1605.08803.
    """

    n_params = 2

    def __init__(self, kinds: Tensor) -> None:
        super().__init__(kinds)
        others = int((kinds != Kind.LINEAR).sum())
        if others:
            raise ValueError(
                f"Affine maps the real line, and {others} of {len(kinds)} coordinates are bounded or circular: "
                "use 'transform: spline'."
            )

    def forward(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        t, s = params[0], bounded_log_scale(params[1])
        return z * torch.exp(s) + t, s.sum(0)

    def inverse(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        t, s = params[0], bounded_log_scale(params[1])
        return (x - t) * torch.exp(-s), -s.sum(0)
