"""Distances, angles and dihedrals of atoms, and the placement of an atom by them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def distance(x: Tensor, atoms: Tensor) -> Tensor:
    """|x_i - x_j|, (B, N, 3) and (M, 2) indices -> (B, M) [nm]."""
    i, j = x[:, atoms.T].unbind(1)
    return torch.linalg.vector_norm(i - j, dim=-1)


def angle(x: Tensor, atoms: Tensor) -> Tensor:
    """Angle at the middle atom, (B, N, 3) and (M, 3) indices -> (B, M) in [0, pi]."""
    i, j, k = x[:, atoms.T].unbind(1)
    u, v = i - j, k - j
    # atan2 keeps full precision where acos(u.v / |u||v|) loses half the digits, near 0 and pi
    return torch.atan2(torch.linalg.vector_norm(torch.linalg.cross(u, v), dim=-1), (u * v).sum(-1))


def dihedral(x: Tensor, atoms: Tensor) -> Tensor:
    """Angle between the half planes through j-k that hold i and l, in [-pi, pi] with the sign of IUPAC.

    (B, N, 3) and (M, 4) indices -> (B, M).

    >>> x = torch.tensor([[[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]]])
    >>> float(dihedral(x, torch.tensor([[0, 1, 2, 3]])).rad2deg())
    90.0
    """
    i, j, k, l = x[:, atoms.T].unbind(1)  # noqa: E741
    axis = normalize(k - j, dim=-1)
    u, v = i - j, l - k
    u = u - (u * axis).sum(-1, keepdim=True) * axis
    v = v - (v * axis).sum(-1, keepdim=True) * axis
    return torch.atan2((torch.linalg.cross(axis, u) * v).sum(-1), (u * v).sum(-1))


def place(j: Tensor, k: Tensor, l: Tensor, r: Tensor, theta: Tensor, phi: Tensor) -> Tensor:  # noqa: E741
    """Position of the atom i with |i - j| = r, angle i-j-k = theta and dihedral i-j-k-l = phi, (..., 3)."""
    axis = normalize(k - j, dim=-1)
    v = l - k
    m = normalize(v - (v * axis).sum(-1, keepdim=True) * axis, dim=-1)  # from the axis towards l
    n = torch.linalg.cross(m, axis)
    r, theta, phi = r[..., None], theta[..., None], phi[..., None]
    return j + r * (theta.cos() * axis + theta.sin() * (phi.cos() * m + phi.sin() * n))


def wrap(phi: Tensor) -> Tensor:
    """The same angle in [-pi, pi)."""
    return torch.remainder(phi + torch.pi, 2 * torch.pi) - torch.pi


def random_rotations(n: int, rng: torch.Generator, dtype: torch.dtype | None = None) -> Tensor:
    """Rotation matrices uniform on SO(3), (n, 3, 3): normalised Gaussian quaternions are uniform on the sphere S^3."""
    q = torch.randn(n, 4, generator=rng, device=rng.device, dtype=dtype)
    w, a, b, c = normalize(q, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (b * b + c * c), 2 * (a * b - c * w), 2 * (a * c + b * w)],
        [2 * (a * b + c * w), 1 - 2 * (a * a + c * c), 2 * (b * c - a * w)],
        [2 * (a * c - b * w), 2 * (b * c + a * w), 1 - 2 * (a * a + b * b)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
