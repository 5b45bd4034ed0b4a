"""Distances, angles and dihedrals of given atoms in a frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Frame
from lit_bg.forces.selection import Differences

FLAT = 1e-16  # [nm^2]


class Distances(nn.Module):
    """Computes |x_i - x_j| of (M, 2) atoms, (M, B) [nm]."""

    def __init__(self, atoms: Tensor, n: int, periodic: bool = False) -> None:
        super().__init__()
        self.between, self.periodic = Differences(atoms[:, 0], atoms[:, 1], n), periodic

    def forward(self, frame: Frame) -> Tensor:
        return frame.differences(self.between, self.periodic).square().sum(1).sqrt()


class Angles(nn.Module):
    """Computes the angle at the middle atom of (M, 3) atoms, (M, B) [rad] in [0, pi]."""

    def __init__(self, atoms: Tensor, n: int, periodic: bool = False) -> None:
        super().__init__()
        self.first = Differences(atoms[:, 0], atoms[:, 1], n)
        self.second = Differences(atoms[:, 2], atoms[:, 1], n)
        self.periodic = periodic

    def forward(self, frame: Frame) -> Tensor:
        u = frame.differences(self.first, self.periodic)
        v = frame.differences(self.second, self.periodic)
        # atan2 keeps full precision where acos(u.v / |u||v|) loses half the digits, near 0 and pi
        return torch.atan2(across(u, v), (u * v).sum(1))


class Dihedrals(nn.Module):
    """Computes the dihedral of (M, 4) atoms with the sign of IUPAC."""

    def __init__(self, atoms: Tensor, n: int, periodic: bool = False) -> None:
        super().__init__()
        self.steps = nn.ModuleList([Differences(atoms[:, k + 1], atoms[:, k], n) for k in range(3)])
        self.periodic = periodic

    def components(self, frame: Frame) -> tuple[Tensor, Tensor]:
        """Return numbers proportional to cosine and sine, both (M, B), not normalised."""
        a, b, c = (frame.differences(step, self.periodic) for step in self.steps)  # type: ignore[arg-type]
        m, n = cross(a, b), cross(b, c)
        return (m * n).sum(1), b.square().sum(1).sqrt() * (a * n).sum(1)

    def cosine_and_sine(self, frame: Frame) -> tuple[Tensor, Tensor]:
        """Return cos(phi) and sin(phi), (M, B), without any inverse function."""
        x, y = self.components(frame)
        scale = (x * x + y * y).rsqrt()
        return x * scale, y * scale

    def forward(self, frame: Frame) -> Tensor:
        """Return phi, (M, B) [rad] in [-pi, pi]."""
        x, y = self.components(frame)
        return torch.atan2(y, x)


def across(u: Tensor, v: Tensor) -> Tensor:
    """Return |u x v| of (M, 3, B), not below `FLAT`: a straight angle has no direction to bend to, and is to have no force."""
    return cross(u, v).square().sum(1).clamp_min(FLAT**2).sqrt()


def cross(u: Tensor, v: Tensor) -> Tensor:
    """Return the cross product, (M, 3, B); written out, since torch.linalg.cross along a middle dimension is slow."""
    a, b, c = u.unbind(1)
    p, q, r = v.unbind(1)
    return torch.stack([b * r - c * q, c * p - a * r, a * q - b * p], 1)
