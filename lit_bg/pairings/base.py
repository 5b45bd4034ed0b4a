"""Contract of pairings: which sample of the base goes to which configuration of the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lit_bg.energies.base import Energy


class Pairing(ABC):
    """Every pairing keeps the distribution of both ends; it shortens the paths between them."""

    def build(self, energy: Energy) -> Self:
        """Learn what is needed of the system; by default nothing.

        Raises:
            ValueError: pairing and energy do not fit, with the way out.
        """
        return self

    @abstractmethod
    def __call__(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        """Samples of the base and of the data, (B, *event_shape) each, so that row goes to row."""


class Independent(Pairing):
    """As they were drawn."""

    def __call__(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        return x0, x1


def assigned(x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in the order of least total squared distance."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(x0.flatten(1), x1.flatten(1)).square()
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return x0[torch.as_tensor(rows, device=x0.device)], x1[torch.as_tensor(columns, device=x1.device)]
