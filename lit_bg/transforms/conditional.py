"""Contract of the elementwise maps inside coupling layers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

LOG_SCALE = 3.0  # |log scale| of one layer stays below: e^3 is ample, and exp never overflows


class ConditionalMap(nn.Module, ABC):
    """Maps each coordinate invertibly, with a shape that is set by parameters from elsewhere.

    All tensors have the batch as the last, fast axis: one coordinate of all samples is one run of
    memory, which on a CPU makes the maps about twice as fast. Unconstrained parameters equal to zero
    give the identity.

    Args:
        kinds: where each coordinate lives, (d,), canonical space (`Domain.canonical`).
    """

    kinds: Tensor
    n_params: int  # per coordinate

    def __init__(self, kinds: Tensor) -> None:
        super().__init__()
        self.register_buffer("kinds", kinds.clone())

    @abstractmethod
    def forward(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """Map z (d, B), params (n_params, d, B) -> x (d, B), log|dx/dz| (B,), summed over coordinates."""

    @abstractmethod
    def inverse(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (d, B), params (n_params, d, B) -> z (d, B), log|dz/dx| (B,), summed over coordinates."""


def bounded_log_scale(raw: Tensor) -> Tensor:
    """Map an unconstrained parameter to a log scale in (-LOG_SCALE, LOG_SCALE), with unit slope at zero."""
    return LOG_SCALE * torch.tanh(raw / LOG_SCALE)
