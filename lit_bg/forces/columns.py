"""Terms of a force: their atoms, and their parameters shaped to broadcast over the batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def column(values: Iterable[float]) -> Tensor:
    """Return the values as a column, (M, 1) float64.

    >>> column([1.0, 2.0])
    tensor([[1.],
            [2.]], dtype=torch.float64)
    """
    return torch.tensor([float(v) for v in values], dtype=torch.float64)[:, None]


def terms_of(force: Any, kind: str, atoms: int) -> tuple[Tensor, list[list[Any]]]:
    """Return the atoms (M, `atoms`) of all terms, and what else OpenMM says of each; `kind` is its word for a term."""
    terms = [getattr(force, f"get{kind}Parameters")(m) for m in range(getattr(force, f"getNum{kind}s")())]
    return torch.tensor([t[:atoms] for t in terms], dtype=torch.long).reshape(-1, atoms), [t[atoms:] for t in terms]
