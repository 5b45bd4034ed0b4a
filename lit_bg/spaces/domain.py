"""Domains: where each coordinate of a transform lives."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Kind(IntEnum):
    """Names the three one-dimensional spaces a coordinate can live in."""

    LINEAR = 0  # the real line
    BOUNDED = 1  # an interval with two ends
    CIRCULAR = 2  # an interval whose ends are one point


class Domain(NamedTuple):
    """Holds kind and interval of every coordinate; the interval of a linear coordinate is not used.

    >>> Domain.linear(2).kinds
    tensor([0, 0])
    """

    kinds: Int[Tensor, "D"]
    lower: Float[Tensor, "D"]
    upper: Float[Tensor, "D"]

    @property
    def dim(self) -> int:
        return len(self.kinds)

    @classmethod
    def linear(cls, dim: int) -> Domain:
        """Return the real line in every coordinate."""
        return cls(torch.full((dim,), int(Kind.LINEAR)), -torch.ones(dim), torch.ones(dim))

    @classmethod
    def canonical(cls, kinds: Int[Tensor, "D"]) -> Domain:
        """Return the space coupling layers work in: linear coordinates of order one, all others on [-1, 1]."""
        return cls(kinds, -torch.ones(len(kinds)), torch.ones(len(kinds)))
