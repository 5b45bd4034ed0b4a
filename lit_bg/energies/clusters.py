"""Ideal clusters of spheres that touch at distance one."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

GOLDEN = (1 + math.sqrt(5)) / 2


def cluster(n: int, d: int = 3) -> Tensor:
    """Return N points with nearest neighbours at about one, (N, d), centred, float64.

    In space the icosahedra of Mackay for 13 and 55; else the N points of the fcc lattice nearest to the centre of an
    octahedron of it (38 make the truncated octahedron). In the plane those of the square lattice about the middle of a cell.

    References:
        Mackay, Acta Cryst. 15, 916 (1962), doi:10.1107/S0365110X6200239X.

    >>> [len(cluster(n)) for n in (13, 20, 38, 55)]
    [13, 20, 38, 55]
    """
    if d == 3 and n in (13, 55):
        x = _icosahedron(shells=1 if n == 13 else 2)
    elif d == 3:
        x = _nearest(n, 3) / math.sqrt(2)
    else:
        x = _nearest(n, d)
    return x - x.mean(0)


def _icosahedron(shells: int) -> Tensor:
    """Return the centre, 12 vertices, and in the second shell 12 vertices and the middles of its 30 edges."""
    one = [(0.0, a, b * GOLDEN) for a in (-1, 1) for b in (-1, 1)]
    vertices = torch.tensor([p[k:] + p[:k] for p in one for k in range(3)], dtype=torch.float64)
    vertices /= vertices.norm(dim=1, keepdim=True)
    i, j = torch.triu_indices(12, 12, 1)
    edges = vertices[i] + vertices[j]
    middles = edges[(edges.norm(dim=1) - 1.7013).abs() < 1e-3]  # of neighbours, 63.4 degrees apart
    centre = torch.zeros(1, 3, dtype=torch.float64)
    return torch.cat([centre, vertices] if shells == 1 else [centre, vertices, 2 * vertices, middles])


def _nearest(n: int, d: int) -> Tensor:
    """Return in space integer points of odd sum, sqrt(2) apart; else points of a cubic lattice about the middle of a cell."""
    reach = math.ceil(2 * n ** (1 / d)) + 1
    points = torch.tensor(list(itertools.product(range(-reach, reach + 1), repeat=d)), dtype=torch.float64)
    points = points[points.sum(1) % 2 == 1] if d == 3 else points + 0.5
    order = points.square().sum(1).sort(stable=True).indices
    return points[order[:n]]
