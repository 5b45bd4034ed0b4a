"""Bonds about which a part of a molecule turns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_bg.molecules.structure import Structure


@dataclass(frozen=True)
class RotatableBonds:
    """Bonds as data for batched rotations."""

    axis: Tensor  # (K, 2) atoms j and k
    side: Tensor  # (K, N) bool: the atoms that turn, which hang together with k when the bond is cut

    def __len__(self) -> int:
        return len(self.axis)


def rotatable_bonds(structure: Structure) -> RotatableBonds:
    """The single bonds that turn more than a methyl: chi, phi and psi of a peptide, and their like in any molecule.

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
    """Atoms that hang together with k when the bond between j and k is cut; j is among them if the bond is in a ring."""
    side, fresh = {k}, [k]
    while fresh:
        a = fresh.pop()
        for b in structure.neighbours[a]:
            if {a, b} != {j, k} and b not in side:
                side.add(b)
                fresh.append(b)
    return sorted(side)


def turned(x: Tensor, axis: Tensor, side: Tensor, angle: Tensor) -> Tensor:
    r"""Configurations with one side of a bond turned about it, a map of Jacobian 1.

    Rodrigues: $r' = r_\parallel + \cos\alpha\, r_\perp + \sin\alpha\, (n \times r)$ with n along the bond.

    Args:
        x: (B, N, 3).
        axis: (B, 2), the atoms j and k of the bond of every configuration.
        side: (B, N) bool, what turns.
        angle: (B,) [rad], right-handed about j -> k.
    """
    rows = torch.arange(len(x), device=x.device)
    j, k = x[rows, axis[:, 0], None], x[rows, axis[:, 1], None]  # (B, 1, 3)
    n, arm = torch.nn.functional.normalize(k - j, dim=-1), x - k
    along = n * (n * arm).sum(-1, keepdim=True)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    new = k + along + cos * (arm - along) + sin * torch.linalg.cross(n.expand_as(arm), arm)
    return torch.where(side[..., None], new, x)
