"""Permutations of coordinates."""

from __future__ import annotations

from torch import Tensor

from lit_bg.transforms.base import Layer


class Permutation(Layer):
    """Permutes $x_i = z_{order(i)}$, kept in a buffer so that a state dict restores it.

    Args:
        order: a permutation of 0 .. D-1, (D,) long.

    Raises:
        ValueError: `order` is not a permutation.

    >>> import torch
    >>> Permutation(torch.tensor([2, 0, 1]))(torch.tensor([[5.0, 6.0, 7.0]]))[0]
    tensor([[7., 5., 6.]])
    """

    order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        if sorted(order.tolist()) != list(range(len(order))):
            raise ValueError(f"a permutation of {len(order)} coordinates holds each of 0..{len(order) - 1} once.")
        self.register_buffer("order", order.clone())

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.T[self.order].T, z.new_zeros(len(z))  # rows, not columns: the batch stays the fast axis

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.T[self.order.argsort()].T, x.new_zeros(len(x))
