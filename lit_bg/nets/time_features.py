"""Features of time for a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TIMES = 9  # features, odd


def time_features(t: Tensor, n: int = TIMES) -> Tensor:
    r"""Return $t$ and $\sin, \cos$ of $\pi k t / 2$ for k = 1 .. (n - 1) / 2: (B,) -> (B, n), n odd; smooth on [0, 1].

    >>> time_features(torch.tensor([0.0]), 5)
    tensor([[0., 0., 0., 1., 1.]])
    """
    k = torch.arange(1, (n + 1) // 2, device=t.device, dtype=t.dtype)
    angle = 0.5 * math.pi * t[:, None] * k
    return torch.cat([t[:, None], torch.sin(angle), torch.cos(angle)], -1)
