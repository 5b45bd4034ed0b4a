"""Order of the directions to neighbours in a cluster."""

from __future__ import annotations

import torch
from torch import Tensor


def bond_order(x: Tensor, pairs: Tensor, degree: int, cutoff: float) -> Tensor:
    r"""Compute $Q_l = \sqrt{\frac{4 \pi}{2l+1} \sum_m |\langle Y_{lm}(\hat r_{ij}) \rangle|^2}$, a mean over near pairs.

    It does not change under rotations, and tells packings apart: $Q_4$ of a fcc cluster is far from zero, that of an
    icosahedral one or of a liquid near it.

    Args:
        x: configurations, (B, N, 3).
        pairs: indices of all pairs, (2, P).
        degree: l.
        cutoff: in units of x.

    Returns:
        (B,) in [0, 1]; zero where no pair is near.

    References:
        Steinhardt, Nelson, Ronchetti, Phys. Rev. B 28, 784 (1983), doi:10.1103/PhysRevB.28.784.
    """
    from e3nn.o3 import spherical_harmonics

    r = x[:, pairs[0]] - x[:, pairs[1]]
    near = r.square().sum(-1) < cutoff**2
    # Of a large cluster most pairs are not near, and the harmonics are what this costs
    y = spherical_harmonics(degree, r[near], normalize=True, normalization="norm")  # sum over m of Y^2 is one
    total = y.new_zeros(len(x), 2 * degree + 1).index_add(0, near.nonzero()[:, 0], y)
    return torch.linalg.vector_norm(total / near.sum(1, keepdim=True).clamp_min(1), dim=-1)
