"""Tensor-product cubic splines on regular grids."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor, nn


class GridSpline(nn.Module):
    r"""Interpolates K functions of d variables, each by the tensor-product cubic spline through its values on one regular grid.

    In the cell with lower corner $x_i$, with $t = (x - x_i) / h$ along each direction,

    $$f(x) = \sum_{k_1, \dots, k_d = 0}^{3} c_{k_1 \dots k_d} \prod_a t_a^{3 - k_a}.$$

    The coefficients are those of the one-dimensional spline, taken along one direction after the other. For d = 2 these are
    the bicubic patches made of f, f_x, f_y and f_xy from splines along the rows and the columns. First and second
    derivatives are continuous; the second ones vanish at the ends of a natural spline, and a periodic one closes smoothly.

    Args:
        values: (K, n_1, ..., n_d); along a periodic direction the last value repeats the first.
        bounds: lower and upper end of every direction.
        periodic: whether all directions are periodic. If not, the functions are 0 outside their bounds.

    Raises:
        ValueError: a number of bounds other than d, an upper bound that is not above the lower one, fewer than 2 points (3
            if periodic) along a direction, values that are not finite, or a period that does not end as it began.

    References:
        de Boor, A Practical Guide to Splines, Springer (1978), chapters IV and XVII.
    """

    coefficients: Tensor

    def __init__(self, values: Tensor, bounds: Sequence[tuple[float, float]], periodic: bool = False) -> None:
        super().__init__()
        self.bounds = tuple(bounds)
        self.cells = tuple(n - 1 for n in values.shape[1:])
        self.periodic = periodic
        self.arity = len(self.cells)
        self._check(values)
        c = values.detach().cpu().double().numpy()
        for n in reversed(self.cells):  # SciPy takes the last direction and puts its powers and its cells in front
            if periodic:
                c = np.concatenate([c[..., :-1], c[..., :1]], -1)  # equal to the last bit, as SciPy wants it
            c = CubicSpline(np.arange(n + 1), c, axis=-1, bc_type="periodic" if periodic else "natural").c
        powers, cells = range(0, 2 * self.arity, 2), range(1, 2 * self.arity, 2)
        c = c.transpose(*powers, 2 * self.arity, *cells).reshape(*[4] * self.arity, -1)
        self.register_buffer("coefficients", torch.from_numpy(np.ascontiguousarray(c)), persistent=False)

    def _check(self, values: Tensor) -> None:
        if len(self.bounds) != self.arity:
            raise ValueError(f"values of {self.arity} variables need as many pairs of bounds, got {len(self.bounds)}.")
        least = 3 if self.periodic else 2
        for axis, ((low, high), cells) in enumerate(zip(self.bounds, self.cells, strict=True)):
            if not high > low:
                raise ValueError(f"direction {axis} runs from {low} to {high}: the upper bound must be above the lower one.")
            if cells + 1 < least:
                raise ValueError(f"direction {axis} has {cells + 1} points: a spline needs at least {least}.")
            ends = values.movedim(axis + 1, 0)
            if self.periodic and not torch.allclose(ends[0], ends[-1], rtol=1e-10, atol=1e-10):
                raise ValueError(f"direction {axis} does not end as it began: the last value of a period repeats the first.")
        if not values.isfinite().all():
            raise ValueError("a spline goes through finite values: remove nan and inf from the table.")

    def forward(self, *x: Tensor, table: Tensor | int = 0) -> Tensor:
        """Return the value at x.

        Args:
            x: d tensors of one dtype that broadcast against each other.
            table: which of the K functions, as indices that broadcast against x, such as (M, 1) beside (M, B).

        Returns:
            The values in the dtype of x, with its shape; nan where x is nan.
        """
        cell, position, outside = table, [], torch.zeros((), dtype=torch.bool, device=x[0].device)
        for u, (low, high), n in zip(x, self.bounds, self.cells, strict=True):
            s = (u - low) / (high - low)
            if self.periodic:
                s = (s - s.floor()) * n
            else:
                outside = outside | (u < low) | (u > high)  # in this form nan is not outside and stays nan
                s = s.clamp(0, 1) * n
            i = s.detach().nan_to_num(0).floor().clamp(max=n - 1)
            position.append(s - i)
            cell = cell * n + i.long()
        c = self.coefficients.to(x[0].dtype)[..., cell]
        for t in position:
            c = ((c[0] * t + c[1]) * t + c[2]) * t + c[3]
        return c if self.periodic else torch.where(outside, 0, c)


def periodic_bicubic(values: Tensor, period: float = 2 * math.pi) -> GridSpline:
    """Build functions of two angles, such as those of OpenMM's CMAPTorsionForce.

    Call the result as `spline(phi, psi, table=index[:, None])` with (M,) indices and angles of shape (M, B).

    Args:
        values: (K, n, m), `values[k, i, j]` being f_k at (i / n, j / m) periods; the repeated ends are left out. OpenMM's
            list of n^2 energies has i running fastest, so it is `torch.tensor(list).view(n, n).T`.
        period: length of both periods, by default radians.

    Raises:
        ValueError: fewer than 2 values along a direction, or some that are not finite.
    """
    closed = torch.cat([values, values[:, :1]], 1)
    return GridSpline(torch.cat([closed, closed[:, :, :1]], 2), [(0, period), (0, period)], periodic=True)
