"""Columns of numbers collected over batches and ranks, for what needs all values at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class Gathered(Metric):
    """Collects named columns; `compute` concatenates batches and ranks, row by row in the same order.

    Args:
        **columns: an empty tensor each, `(0, *shape)`, which fixes shape and dtype: a rank that has seen
            nothing still takes part in the gathering.

    >>> table = Gathered(u=torch.empty(0), x=torch.empty(0, 2))
    >>> table.update(u=torch.zeros(3), x=torch.ones(3, 2))
    >>> {name: tuple(column.shape) for name, column in table.compute().items()}
    {'u': (3,), 'x': (3, 2)}
    """

    full_state_update = False

    def __init__(self, **columns: Tensor) -> None:
        super().__init__()
        self.columns = columns
        for name in columns:
            self.add_state(f"rows_{name}", [], dist_reduce_fx="cat")

    def update(self, **columns: Tensor) -> None:
        """Add rows, (B, *shape) of every column.

        Raises:
            ValueError: columns are missing or unknown, or differ in length.
        """
        if columns.keys() != self.columns.keys():
            raise ValueError(f"the columns are {sorted(self.columns)}, got {sorted(columns)}.")
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must be of one length, got {lengths}.")
        for name, column in columns.items():
            getattr(self, f"rows_{name}").append(column.detach().to(self.columns[name].dtype))

    def compute(self) -> dict[str, Tensor]:
        """Return each column with all rows of all ranks, (n, *shape)."""
        return {name: self._joined(name) for name in self.columns}

    def _joined(self, name: str) -> Tensor:
        rows = getattr(self, f"rows_{name}")
        empty = self.columns[name].to(self.device)
        parts = [rows] if isinstance(rows, Tensor) else list(rows)  # a tensor once ranks are joined
        return torch.cat([empty, *(part for part in parts if len(part))])

    def _sync_dist(self, *args: object, **kwargs: object) -> None:
        # torchmetrics would stand in for an empty column with one of another shape and dtype, which cannot be gathered.
        for name in self.columns:
            setattr(self, f"rows_{name}", [self._joined(name)])
        super()._sync_dist(*args, **kwargs)  # type: ignore[arg-type]
