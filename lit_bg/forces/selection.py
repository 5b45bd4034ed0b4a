"""Differences between given atoms, as bonded forces want them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DENSE_UP_TO = 128  # rows


class Differences(nn.Module):
    """Computes x_i - x_j of given atoms, (N, 3, B) -> (M, 3, B).

    For small molecules on a CPU it is a product with an (M, N) matrix of 0, 1 and -1, which is exact, and whose
    gradient is a product again. The gradient of indexing would be a scattered addition, which neither eager torch
    nor its compiler vectorises there.

    Args:
        i, j: (M,) atoms.
        n: number of atoms N.
    """

    i: Tensor
    j: Tensor
    matrix: Tensor | None

    def __init__(self, i: Tensor, j: Tensor, n: int) -> None:
        super().__init__()
        self.register_buffer("i", i.long(), persistent=False)
        self.register_buffer("j", j.long(), persistent=False)
        matrix = one_hot(i, n) - one_hot(j, n) if n <= DENSE_UP_TO else None
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.matrix is not None:
            return (self.matrix @ x.flatten(1)).unflatten(1, x.shape[1:])
        return x[self.i] - x[self.j]


def one_hot(index: Tensor, n: int) -> Tensor:
    """Return a matrix (M, n), float64, with a single one per row."""
    return torch.nn.functional.one_hot(index.long(), n).double()


def products_are_exact(x: Tensor) -> bool:
    """Say whether a product with a matrix of ones picks rows to the last digit.

    On accelerators, and where the user allowed it, matrix products of float32 are rounded to fewer digits.
    """
    return x.device.type == "cpu" and (x.dtype == torch.float64 or torch.get_float32_matmul_precision() == "highest")


def use_indices(module: nn.Module) -> None:
    """Make all selections within a module index instead of multiply."""
    for part in module.modules():
        if isinstance(part, Differences):
            part.matrix = None
