"""Parameters of terms, shaped to broadcast over the batch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def column(values: Iterable[float]) -> Tensor:
    """(M, 1) float64.

    >>> column([1.0, 2.0])
    tensor([[1.],
            [2.]], dtype=torch.float64)
    """
    return torch.tensor([float(v) for v in values], dtype=torch.float64)[:, None]
