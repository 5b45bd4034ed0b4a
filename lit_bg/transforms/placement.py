"""The position and orientation of a molecule, for systems in an external field."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lit_bg.spaces import Kind

if TYPE_CHECKING:
    from lit_bg.molecules.target import MolecularTarget

KINDS = (Kind.LINEAR,) * 3 + (Kind.CIRCULAR, Kind.BOUNDED, Kind.CIRCULAR)
STEP = 0.01  # [nm] by which the molecule is moved to find how a field bends
NARROW, WIDE = 1e-3, 10.0  # [nm] of the width that is taken for it


class Placement(nn.Module):
    r"""Places a body: the centre $\bar x = c + s\, z_{1..3}$ and Euler angles about z, y and z.

    $R = R_z(\pi z_4)\, R_y(\arccos z_5)\, R_z(\pi z_6)$ turns the frame of three atoms b, a, c (z along b-a, c in the
    x-z plane), so a uniform z is a uniform orientation, $d\Omega = \pi^2 dz$. With the mean taken out of the body,
    $d^{3N}x = N^{3/2} d^3\bar x\; d^{3N-3}y$, and $d^{3N-3}y$ holds $d\Omega$.

    Args:
        energy: a molecule that is measured on all its coordinates. Moving it as a whole says how wide the field lets it go.
        atoms: b, a and c.
    """

    centre: Tensor
    width: Tensor

    def __init__(self, energy: MolecularTarget, atoms: tuple[int, ...]) -> None:
        super().__init__()
        self.atoms = atoms[:3]
        assert energy.initial is not None
        start = energy.initial[0].double()
        self.n = len(start)
        self.register_buffer("centre", start.mean(0).to(torch.get_default_dtype()))
        moves = STEP * torch.eye(3, dtype=torch.float64)[:, None]
        with torch.no_grad():
            u = energy.potential(torch.cat([start[None], start + moves, start - moves])) / energy.kT
        bend = (u[1:4] + u[4:7] - 2 * u[0]) / STEP**2
        width = bend.clamp_min(WIDE**-2).rsqrt().nan_to_num(WIDE).clamp_min(NARROW)
        self.register_buffer("width", width.to(torch.get_default_dtype()))

    def adapt(self, x: Tensor) -> None:
        """Take centre and width from data, (B, N, 3)."""
        middle = x.double().mean(1)
        self.centre.copy_(middle.mean(0))
        self.width.copy_(middle.std(0, correction=0).clamp_min(NARROW))

    @property
    def log_volume(self) -> Tensor:
        r"""Return log of the volume that z adds to that of a body of uniform orientation, density $1 / 8 \pi^2$."""
        return self.width.log().sum() + math.log(math.pi**2) - math.log(8 * math.pi**2) + 1.5 * math.log(self.n)

    def forward(self, z: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
        """Return bodies (B, N, 3) that are turned and moved as z (B, 6) says, and log|dx/dz|, (B,)."""
        cos = z[:, 4].clamp(-1, 1)
        a, c, sin = math.pi * z[:, 3], math.pi * z[:, 5], (1 - cos * cos).clamp_min(0).sqrt()
        turn = _about_z(a) @ _about_y(cos, sin) @ _about_z(c) @ self._frame(body).mT
        return body @ turn.mT + (self.centre + self.width * z[:, :3])[:, None], self.log_volume.expand(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z, (B, 6), of configurations (B, N, 3), and log|dz/dx|, (B,)."""
        r = self._frame(x)
        a, cos, c = torch.atan2(r[:, 1, 2], r[:, 0, 2]), r[:, 2, 2].clamp(-1, 1), torch.atan2(r[:, 2, 1], -r[:, 2, 0])
        z = torch.cat([(x.mean(1) - self.centre) / self.width, torch.stack([a / math.pi, cos, c / math.pi], -1)], -1)
        return z, -self.log_volume.expand(len(x))

    def _frame(self, x: Tensor) -> Tensor:
        """Return the axes of the three atoms as columns, (B, 3, 3)."""
        b, a, c = (x[:, i] for i in self.atoms)
        e_z = normalize(a - b, dim=-1)
        e_x = normalize((c - b) - ((c - b) * e_z).sum(-1, keepdim=True) * e_z, dim=-1)
        return torch.stack([e_x, torch.linalg.cross(e_z, e_x), e_z], -1)


def _about_z(angle: Tensor) -> Tensor:
    c, s, o, e = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, o, s, c, o, o, o, e], -1).reshape(-1, 3, 3)


def _about_y(c: Tensor, s: Tensor) -> Tensor:
    o, e = torch.zeros_like(c), torch.ones_like(c)
    return torch.stack([c, o, s, o, e, o, -s, o, c], -1).reshape(-1, 3, 3)
