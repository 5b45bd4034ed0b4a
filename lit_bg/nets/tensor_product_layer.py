"""One layer of a network whose features are scalars and vectors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Edges(NamedTuple):
    """Holds what the positions say, for all pairs of M nodes."""

    y: Tensor  # direction from j to i, shorter than 1 and 0 for i = j, (B, M, M, 3)
    y2: Tensor  # its square, (B, M, M, 1)
    radial: Tensor  # functions of the distance, and conditions, (B, M, M, K)


class TensorProductLayer(nn.Module):
    r"""Sends as messages the tensor products of features of the sender with harmonics of the edge up to l = 2.

    Of scalars s and vectors v of the sender these are

    $$R_1 s_j, \quad R_2\, v_j \cdot y_{ij}; \qquad
      R_3 s_j y_{ij}, \quad R_4 v_j, \quad R_5\, v_j \times y_{ij}, \quad
      R_6 \left[y_{ij} (y_{ij} \cdot v_j) - \tfrac13 |y_{ij}|^2 v_j\right],$$

    with one weight $R(r_{ij}, t)$ per product and feature from a small network. Their sums over j, divided by
    $\sqrt{M - 1}$, and what the node had are mixed linearly, scalars by a SiLU, vectors times sigmoids of scalars, and added
    to s and v. These are all the products that lead from l = 0 and 1 to l = 0 and 1, in Cartesian form. Of polar vectors all
    but the cross product are mirrored as they should; without it the layer follows reflections.

    Args:
        width: number of scalars S.
        vectors: number of vectors V.
        n_radial: K.
        cross: whether there are cross products.

    References:
        Thomas, Smidt, Kearnes, Yang, Li, Kohlhoff, Riley, arXiv:1802.08219 (2018).
        Batzner et al., Nat. Commun. 13, 2453 (2022), arXiv:2101.03164, for one weight per product and feature.
    """

    def __init__(self, width: int, vectors: int, n_radial: int, cross: bool) -> None:
        super().__init__()
        self.sizes = [width, vectors, width, vectors, vectors, vectors if cross else 0]  # of R1, R2, R3, R4, R6, R5
        self.split = [width, vectors]
        self.radial1 = nn.Linear(n_radial, width)
        self.radial2 = nn.Linear(width, sum(self.sizes))
        self.scalars = nn.Linear(width + sum(self.sizes[:2]), width + vectors)
        self.vectors = nn.Linear(vectors + sum(self.sizes[2:]), vectors, bias=False)

    def forward(self, s: Tensor, v: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """Return s (B, M, S) and v (B, M, 3, V) one layer later."""
        y, y2, radial = edges
        m = s.shape[1]
        others = (1 - torch.eye(m, device=s.device, dtype=s.dtype))[..., None] / (m - 1) ** 0.5
        weights = self.radial2(F.silu(self.radial1(radial))) * others
        r1, r2, r3, r4, r6, r5 = weights.split(self.sizes, -1)
        along = torch.einsum("bjkv,bijk->bijv", v, y)
        to_scalars = [s, (r1 * s[:, None]).sum(2), (r2 * along).sum(2)]
        to_vectors = [
            v,
            torch.einsum("bijs,bijk->biks", r3 * s[:, None], y),
            torch.einsum("bijv,bjkv->bikv", r4, v),
            torch.einsum("bijv,bijk->bikv", r6 * along, y) - torch.einsum("bijv,bjkv->bikv", r6 * y2 / 3, v),
        ]
        if r5.shape[-1]:
            turned = torch.linalg.cross(v[:, None], y[..., None], dim=-2)  # (B, M, M, 3, V)
            to_vectors.append(torch.einsum("bijv,bijkv->bikv", r5, turned))
        a, gate = self.scalars(torch.cat(to_scalars, -1)).split(self.split, -1)
        return s + F.silu(a), v + torch.sigmoid(gate)[:, :, None] * self.vectors(torch.cat(to_vectors, -1))
