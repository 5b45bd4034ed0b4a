"""The search for the bin of a spline, written for torch.compile."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class FindUnrolled(torch.autograd.Function):
    """Finds bins one by one, row by row, which a compiler turns into one pass over the samples without any indexing.

    `apply(point, smallest, by_height, widths, heights, *rows)` takes the K widths, K heights and K-1 slopes of `find_bin` as
    rows (d, B) of their own, and the gradients are theirs: so one concatenation gathers them, where the gradients of tensors
    would each be copied once more. The tensors (K, d, B) are the same numbers again, without a gradient. What costs time
    otherwise:

    * a mask that the compiler decides to keep is stored byte by byte, so masks that are used often are numbers here;
    * an integer among the floats halves the width of the vectors, so the number of the bin is a float;
    * an expression that the gradient has in common with the value is kept for it, here sixteen exponentials per
      spline, so the gradient takes its softmax from the tensor and not from its rows, which is another expression.
    """

    @staticmethod
    def forward(
        ctx: Any, point: Tensor, smallest: float, by_height: bool, widths: Tensor, heights: Tensor, *rows: Tensor
    ) -> tuple[Tensor, ...]:
        K = len(widths)
        w, h = (_lengths(r, smallest) for r in (rows[:K], rows[K : 2 * K]))
        s = (torch.zeros_like(point), *rows[2 * K :], torch.zeros_like(point))
        edge = left = bottom = torch.full_like(point, -1.0)
        number = torch.zeros_like(point)
        width, height, raw0, raw1 = w[0], h[0], s[0], s[1]
        for k in range(1, K):
            edge = edge + (h if by_height else w)[k - 1]
            past = (point >= edge).to(point.dtype)
            beyond = past > 0
            left, bottom, number = left + past * w[k - 1], bottom + past * h[k - 1], number + past
            width, height = torch.where(beyond, w[k], width), torch.where(beyond, h[k], height)
            raw0, raw1 = torch.where(beyond, s[k], raw0), torch.where(beyond, s[k + 1], raw1)
        ctx.smallest = smallest
        ctx.save_for_backward(widths, heights, number)
        ctx.mark_non_differentiable(number)
        return left, width, bottom, height, raw0, raw1, number

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        left, width, bottom, height, raw0, raw1, _ = grads
        widths, heights, number = ctx.saved_tensors
        K, out = len(widths), []
        for raw, edge, length in ((widths, left, width), (heights, bottom, height)):
            e = (raw - raw.amax(0)).exp().unbind(0)
            total = functools.reduce(torch.add, e)
            # The lengths before the bin move its edge.
            grad = [torch.where(number > k, edge, torch.where(number == k, length, 0.0)) for k in range(K)]
            mean = functools.reduce(torch.add, (a * b for a, b in zip(e, grad, strict=True))) / total
            scale = 2 * (1 - ctx.smallest * K) / total
            out += [scale * a * (b - mean) for a, b in zip(e, grad, strict=True)]
        slopes = [torch.where(number == k, raw1, torch.where(number == k + 1, raw0, 0.0)) for k in range(K - 1)]
        return None, None, None, None, None, *out, *slopes


def _lengths(rows: Sequence[Tensor], smallest: float) -> list[Tensor]:
    """Map as `bins.lengths` does, row by row."""
    top = functools.reduce(torch.maximum, rows)
    e = [torch.exp(row - top) for row in rows]
    scale = 2 * (1 - smallest * len(rows)) / functools.reduce(torch.add, e)
    return [2 * smallest + scale * row for row in e]
