"""OpenMM's tabulated functions as modules that custom forces call by name."""

from __future__ import annotations

import math

import openmm
import torch
from torch import Tensor, nn

from lit_bg.forces.tabulated_spline import GridSpline


class Discrete(nn.Module):
    """Looks up a function of d indices in a table.

    Indices are rounded to the nearest integer, halves upwards, and those outside the table are moved to its edge, as
    OpenMM 8.6 does on its Reference platform (its manual leaves this case undefined). The gradient is 0.

    Args:
        values: (n_1, ..., n_d).
    """

    values: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.sizes = tuple(values.shape)
        self.arity = values.dim()
        self.register_buffer("values", values.detach().double().flatten(), persistent=False)

    def forward(self, *x: Tensor) -> Tensor:
        """Return the table's value at x, d tensors that broadcast against each other, in their dtype; nan where x is nan."""
        place = torch.zeros((), dtype=torch.long, device=x[0].device)
        defined = torch.ones((), dtype=torch.bool, device=x[0].device)
        for u, n in zip(x, self.sizes, strict=True):
            place = place * n + (u + 0.5).floor().nan_to_num(0).clamp(0, n - 1).long()
            defined = (u == u) & defined
        return torch.where(defined, self.values.to(x[0].dtype)[place], math.nan)


TabulatedFunction = GridSpline | Discrete


def from_openmm(function: openmm.TabulatedFunction) -> TabulatedFunction:
    """Convert a tabulated function to a module with autograd.

    Continuous functions are natural cubic splines, 0 outside their bounds, or periodic ones; see `GridSpline`.

    Raises:
        ValueError: a kind of function that OpenMM has only lately.
    """
    match function:
        case openmm.Continuous1DFunction():
            values, *bounds = function.getFunctionParameters()
            sizes = [len(values)]
        case openmm.Continuous2DFunction():
            *sizes, values, x0, x1, y0, y1 = function.getFunctionParameters()
            bounds = [x0, x1, y0, y1]
        case openmm.Continuous3DFunction():
            *sizes, values, x0, x1, y0, y1, z0, z1 = function.getFunctionParameters()
            bounds = [x0, x1, y0, y1, z0, z1]
        case openmm.Discrete1DFunction():
            values, bounds = function.getFunctionParameters(), []
            sizes = [len(values)]
        case openmm.Discrete2DFunction() | openmm.Discrete3DFunction():
            *sizes, values = function.getFunctionParameters()
            bounds = []
        case _:
            raise ValueError(f"{type(function).__name__} is not translated; known are Continuous and Discrete 1D, 2D and 3D.")
    # OpenMM lists values with x running fastest.
    table = torch.tensor(values, dtype=torch.float64).view(*reversed(sizes)).permute(*reversed(range(len(sizes)))).contiguous()
    if not bounds:
        return Discrete(table)
    return GridSpline(table[None], list(zip(bounds[::2], bounds[1::2], strict=True)), function.getPeriodic())
