"""Distances of all atoms from all others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class SquaredDistances(torch.autograd.Function):
    r"""Computes $r_{ij}^2 = |x_i - x_j|^2$ of all atoms, (N, 3, B) -> (N, N, B); it is 1 on the diagonal, which no force uses.

    Every pair is there twice. That costs arithmetic and spares everything else: no index, no scattered addition in the
    gradient, which neither eager torch nor its compiler vectorises on a CPU, and one loop over (N, N, B) for a force
    with its derivative. tests/benchmarks/test_energy_speed.py compares energies with forces to OpenMM's.

    The gradient, $2 \sum_j (g_{ij} + g_{ji}) (x_i - x_j)$, is one sum: the chain rule of the differences would write
    and read them three times. It is differentiable in turn.
    """

    @staticmethod
    def forward(x: Tensor, box: Tensor | None) -> Tensor:
        itself = torch.eye(len(x), dtype=x.dtype, device=x.device)[:, :, None]
        return _differences(x, box).square().sum(2) + itself

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor | None], output: Tensor) -> None:
        x, box = inputs
        ctx.save_for_backward(x, box)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        x, box = ctx.saved_tensors
        both = 2 * (g + g.transpose(0, 1))
        return (both[:, :, None] * _differences(x, box)).sum(1), None


def _differences(x: Tensor, box: Tensor | None) -> Tensor:
    """Return x_i - x_j, (N, N, 3, B)."""
    d = x[:, None] - x
    return d if box is None else minimum_image(d, box)


def minimum_image(d: Tensor, box: Tensor) -> Tensor:
    """Reduce differences (..., 3, B) to the nearest image in a box with lower triangular vectors, (3, 3).

    Exact for distances below half the smallest width, as OpenMM requires of cutoffs.
    """
    box = box.to(d.dtype)
    for k in (2, 1, 0):
        shift = (d[..., k : k + 1, :] / box[k, k]).round()
        d = d - shift * box[k][:, None]
    return d
