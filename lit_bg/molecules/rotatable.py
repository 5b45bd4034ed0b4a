"""Bonds about which a part of a molecule turns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.molecules.structure import Structure


@dataclass(frozen=True)
class RotatableBonds:
    """Holds bonds as data for batched rotations."""

    axis: Tensor  # (K, 2) atoms j and k
    side: Tensor  # (K, N) bool: the atoms that turn, which hang together with k when the bond is cut

    def __len__(self) -> int:
        return len(self.axis)


def rotatable_bonds(structure: Structure) -> RotatableBonds:
    """Return the single bonds that turn more than a methyl: chi, phi and psi of a peptide, and their like in any molecule.

    One end has four neighbours, which leaves out amides, esters and other bonds that are not quite single; both ends carry
    another heavy atom; and the bond is in no ring. The smaller of the two sides turns.
    """
    neighbours = structure.neighbours

    def carries(j: int, k: int) -> bool:
        return any(structure.elements[i] not in ("H", "D") for i in neighbours[j] if i != k)

    axes, sides = [], []
    for j, k in structure.bonds:
        if 4 not in (len(neighbours[j]), len(neighbours[k])) or not (carries(j, k) and carries(k, j)):
            continue
        far = side_of_bond(structure, j, k)
        if j in far:
            continue
        near = side_of_bond(structure, k, j)
        axes.append((j, k) if len(far) <= len(near) else (k, j))
        sides.append(far if len(far) <= len(near) else near)
    side = torch.zeros(len(axes), structure.n_atoms, dtype=torch.bool)
    for row, atoms in enumerate(sides):
        side[row, atoms] = True
    return RotatableBonds(torch.tensor(axes, dtype=torch.long).reshape(-1, 2), side)


def side_of_bond(structure: Structure, j: int, k: int) -> list[int]:
    """Return the atoms that stay connected to k when the bond j-k is cut; j is among them if the bond is in a ring."""
    side, fresh = {k}, [k]
    while fresh:
        a = fresh.pop()
        for b in structure.neighbours[a]:
            if {a, b} != {j, k} and b not in side:
                side.add(b)
                fresh.append(b)
    return sorted(side)


def turn(x: Tensor, axis: Tensor, side: Tensor, angle: Tensor) -> Tensor:
    """Turn one side of a bond about it, a map of Jacobian 1.

    Args:
        x: (B, N, 3).
        axis: (B, 2), the atoms j and k of the bond of every configuration.
        side: (B, N) bool, what turns.
        angle: (B,) [rad], right-handed about j -> k.
    """
    return _turned(x, side, _direction(x, axis), angle, x[torch.arange(len(x), device=x.device), axis[:, 1]])


def turn_velocities(v: Tensor, x: Tensor, axis: Tensor, side: Tensor, angle: Tensor) -> Tensor:
    """Turn the velocities (B, N, 3) of the atoms that `turn` turns at x."""
    return _turned(v, side, _direction(x, axis), angle)


def _direction(x: Tensor, axis: Tensor) -> Tensor:
    """Return unit vectors from j to k, (B, 3)."""
    rows = torch.arange(len(x), device=x.device)
    return torch.nn.functional.normalize(x[rows, axis[:, 1]] - x[rows, axis[:, 0]], dim=-1)


def _turned(x: Tensor, side: Tensor, n: Tensor, angle: Tensor, origin: Tensor | None = None) -> Tensor:
    r"""Turn vectors x (B, N, 3), those on the side (B, N), by angles (B,) [rad] about n (B, 3) through an origin (B, 3) or 0.

    Rodrigues: $r' - r = (1 - \cos\alpha)\, (n\, (n \cdot r) - r) + \sin\alpha\, (n \times r)$. The batch comes last meanwhile:
    products with one number for every configuration are then ten times as fast on a CPU.
    """
    sin, versine = angle.sin(), 1 - angle.cos()
    n = n.T.contiguous()
    a, b, c = sin * n
    zero = torch.zeros_like(a)
    crossed = torch.stack([zero, c, -b, -c, zero, a, b, -a, zero]).view(3, 3, -1)  # [j, i]: what r_j adds to r_i
    changes = crossed + versine * (n * n[:, None] - torch.eye(3, dtype=n.dtype, device=n.device)[:, :, None])
    found = x.flatten(1).T.contiguous().view(*x.shape[1:], len(x))  # of two dimensions torch transposes in blocks
    r = (found if origin is None else found - origin.T.contiguous()) * side.T.contiguous().to(x.dtype)[:, None]
    for j in range(3):
        found.addcmul_(changes[j], r[:, j, None])
    return found.flatten(0, 1).T.contiguous().view(x.shape)
