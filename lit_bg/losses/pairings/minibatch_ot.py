"""Optimal transport within a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.losses.pairings.base import Pairing


class MinibatchOT(Pairing):
    r"""Assigns by least $\sum_b |x_0^b - x_1^{\sigma(b)}|^2$ over a batch (or blocks of it): straighter, shorter paths.

    Args:
        block: samples per assignment, whose cost grows with its third power.

    Raises:
        ValueError: a block of one.

    References:
        Tong et al., Trans. Mach. Learn. Res. (2024), arXiv:2302.00482; Pooladian et al., ICML 2023, arXiv:2304.14772.
    """

    def __init__(self, block: int = 256) -> None:
        if block < 2:
            raise ValueError(f"an assignment needs a block of two samples or more, got block={block}.")
        self.block = block

    def __call__(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        pairs = [assign(a, b) for a, b in zip(x0.split(self.block), x1.split(self.block), strict=True)]
        return torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs])


def assign(x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows in the order of least total squared distance."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(x0.flatten(1), x1.flatten(1)).square()
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return x0[torch.as_tensor(rows, device=x0.device)], x1[torch.as_tensor(columns, device=x1.device)]
