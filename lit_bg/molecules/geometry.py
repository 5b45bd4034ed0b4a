"""Distances, angles and dihedrals of atoms, and the placement of an atom by them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

TINY = 1e-30  # [nm^2], [nm^4]: atoms on one spot have finite gradients


def distance(x: Tensor, atoms: Tensor) -> Tensor:
    """Return |x_i - x_j|, (B, N, 3) and (M, 2) indices -> (B, M) [nm]."""
    i, j = _gather(x, atoms)
    return _norm(i - j).T


def angle(x: Tensor, atoms: Tensor) -> Tensor:
    """Return the angle at the middle atom, (B, N, 3) and (M, 3) indices -> (B, M) in [0, pi]."""
    i, j, k = _gather(x, atoms)
    u, v = i - j, k - j
    # atan2 keeps full precision where acos(u.v / |u||v|) loses half the digits, near 0 and pi
    return torch.atan2(_norm(_cross(u, v)), _dot(u, v)).T


def dihedral(x: Tensor, atoms: Tensor) -> Tensor:
    """Return the angle between the half planes through j-k that hold i and l, in [-pi, pi] with the sign of IUPAC.

    (B, N, 3) and (M, 4) indices -> (B, M).

    >>> x = torch.tensor([[[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]]])
    >>> float(dihedral(x, torch.tensor([[0, 1, 2, 3]])).rad2deg())
    90.0
    """
    i, j, k, l = _gather(x, atoms)  # noqa: E741
    axis = _unit(k - j)
    u, v = _cross(axis, i - j), _cross(axis, l - k)  # the two arms seen along the axis, both turned by 90 degrees
    return torch.atan2(_dot(axis, _cross(u, v)), _dot(u, v)).T


def arms(r: Tensor, theta: Tensor, phi: Tensor) -> Tensor:
    """Return i - j along j-k, towards l, and across both, (3, ...), for distance r, angle i-j-k theta, dihedral phi."""
    across = r * theta.sin()
    return torch.stack([r * theta.cos(), across * phi.cos(), across * phi.sin()])


def place(j: Tensor, k: Tensor, l: Tensor, arms: Tensor) -> Tensor:  # noqa: E741
    """Return the position of the atom i with the given `arms` in the frame of j, k, l; all (3, ...), components first."""
    axis = _unit(k - j)
    across = _unit(_cross(l - k, axis))
    return j + (arms[0] * axis + arms[1] * _cross(axis, across) + arms[2] * across)  # one rounding at the scale of j


def _gather(x: Tensor, atoms: Tensor) -> tuple[Tensor, ...]:
    """Gather (B, N, 3) by (M, n) indices into n tensors (3, M, B): long rows are several times as fast as vectors of three."""
    return x.permute(2, 1, 0).contiguous()[:, atoms.T].unbind(1)


# Written out, because torch.linalg.cross, normalize and vector_norm are 4 to 50 times as slow along a leading dimension.


def _dot(u: Tensor, v: Tensor) -> Tensor:
    return (u * v).sum(0)


def _cross(u: Tensor, v: Tensor) -> Tensor:
    a, b, c = u
    d, e, f = v
    return torch.stack([b * f - c * e, c * d - a * f, a * e - b * d])


def _norm(u: Tensor) -> Tensor:
    return _dot(u, u).clamp_min(TINY).sqrt()


def _unit(u: Tensor) -> Tensor:
    return u * _dot(u, u).clamp_min(TINY).rsqrt()


def wrap(phi: Tensor) -> Tensor:
    """Return the same angle in [-pi, pi)."""
    return phi - 2 * torch.pi * torch.floor(phi / (2 * torch.pi) + 0.5)  # exact for what is there already, unlike a remainder


def random_rotations(n: int, rng: torch.Generator, dtype: torch.dtype | None = None) -> Tensor:
    """Draw rotation matrices uniformly on SO(3), (n, 3, 3): normalised Gaussian quaternions are uniform on the sphere S^3."""
    q = torch.randn(n, 4, generator=rng, device=rng.device, dtype=dtype)
    w, a, b, c = normalize(q, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (b * b + c * c), 2 * (a * b - c * w), 2 * (a * c + b * w)],
        [2 * (a * b + c * w), 1 - 2 * (a * a + c * c), 2 * (b * c - a * w)],
        [2 * (a * c - b * w), 2 * (b * c + a * w), 1 - 2 * (a * a + b * b)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
