"""Convergence of an estimate with the length of the data, from their beginning and from their end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Convergence(NamedTuple):
    """Holds an estimate from the first and from the last part of the data."""

    fraction: Tensor  # (P,) of the data, ascending to 1
    forward: Tensor  # (P, 2) value and error from the first part
    backward: Tensor  # (P, 2) from the last part

    @property
    def halves(self) -> float:
        """Return by how many standard errors the two halves of the data, which share none, differ; NaN where unknown."""
        at = int((self.fraction - 0.5).abs().argmin())
        (a, a_error), (b, b_error) = self.forward[at].tolist(), self.backward[at].tolist()
        error = math.hypot(a_error, b_error)
        return abs(a - b) / error if 0 < error < math.inf else math.nan


def both_directions(estimate: Callable[[float, float], tuple[float, float]], parts: int = 10) -> Convergence:
    """Return an estimate from growing fractions of the data, in order of time and against it.

    Where data are in equilibrium both curves come to one value within their errors long before the end; an estimate that
    drifts in one direction says that its beginning was none.

    Args:
        estimate: from the part of the data between two fractions of their length, 0 to 1, to a value and its error; a
            `ValueError` of a part that is too small leaves a gap (NaN).
        parts: fractions, even so that one is a half.

    Raises:
        ValueError: a number of parts that is not even.

    References:
        Klimovich, Shirts, Mobley, J. Comput. Aided Mol. Des. 29, 397 (2015), doi:10.1007/s10822-015-9840-9.

    >>> both_directions(lambda start, stop: (1.0, stop - start), parts=2).forward.tolist()
    [[1.0, 0.5], [1.0, 1.0]]
    """
    if parts < 2 or parts % 2:
        raise ValueError(f"parts must be even and at least 2, got {parts}.")
    fraction = torch.arange(1, parts + 1, dtype=torch.float64) / parts

    def tried(start: float, stop: float) -> tuple[float, float]:
        try:
            return estimate(start, stop)
        except ValueError:
            return math.nan, math.inf

    forward = [tried(0.0, part) for part in fraction.tolist()]
    backward = [tried(1.0 - part, 1.0) for part in fraction.tolist()]
    return Convergence(fraction, torch.tensor(forward).double(), torch.tensor(backward).double())
