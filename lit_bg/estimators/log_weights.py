"""Checks of log weights."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.samples import Dependence

SHAPES: dict[Dependence, str] = {"draws": "(B,)", "chains": "(T, W)", "populations": "(P, N)"}


def check_log_weights(log_w: Tensor) -> Tensor:
    """Return log weights as a float64 vector without NaN or +inf.

    Raises:
        ValueError: an empty vector, another shape, or a weight that is not a number.
    """
    log_w = torch.as_tensor(log_w).detach().to(torch.float64)
    if log_w.ndim != 1 or len(log_w) == 0:
        raise ValueError(f"log weights must be a non-empty vector, got shape {tuple(log_w.shape)}.")
    if torch.isnan(log_w).any() or torch.isposinf(log_w).any():
        raise ValueError(
            f"{int((~(log_w < torch.inf)).sum())} of {len(log_w)} log weights are NaN or +inf: a sample without a "
            "finite energy has weight zero (-inf), as `Samples.log_w` gives it."
        )
    return log_w


def check_log_weights_of(log_w: Tensor, dependence: Dependence) -> Tensor:
    """Return log weights of draws (B,), chains (T, W) or populations (P, N) in their shape, float64, on the CPU.

    Raises:
        ValueError: another shape, none at all, or a weight that is not a number.
    """
    log_w, needed = torch.as_tensor(log_w), SHAPES[dependence]
    if log_w.ndim != (1 if dependence == "draws" else 2):
        raise ValueError(f"log weights of {dependence} have the shape {needed}, got {tuple(log_w.shape)}.")
    return check_log_weights(log_w.flatten()).cpu().reshape(log_w.shape)
