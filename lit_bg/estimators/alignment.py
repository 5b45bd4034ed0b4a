"""Configurations of particles laid on each other by the moves that leave their energy as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from lit_bg.spaces import Target


class Moves(NamedTuple):
    """Says what may be done to a configuration (N, d); by default nothing."""

    types: Int[Tensor, "N"] | None = None  # particles of one type change places; None: none does
    translations: bool = False
    rotations: bool = False
    reflections: bool = False  # rotations may be improper

    @classmethod
    def of(cls, energy: Target) -> Moves:
        """Return the moves that leave the energy of a system as it is.

        Raises:
            ValueError: a system that is not of particles.
        """
        types = energy.space.types
        if types is None:
            raise ValueError(f"{type(energy).__name__} has {energy.space}: only particles can be aligned.")
        found = energy.symmetries
        rotations = "rotation" in found
        return cls(
            types=None if len(set(types)) == len(types) else torch.tensor(types),
            translations="translation" in found,
            rotations=rotations,
            reflections=rotations and "reflection" in found,
        )


def align(x: Float[Tensor, "B N d"], y: Float[Tensor, "B N d"], moves: Moves, sweeps: int = 1) -> Float[Tensor, "B N d"]:
    r"""Move every y so that $\sum_i |x_i - R\, y_{s(i)}|^2$ is small: the best exchange s, the best rotation R, and again.

    Each half of a sweep is the best for the other half held fixed (Hungarian, Kabsch), so the sum never grows. With rotations
    alone or exchanges alone it is the least there is; with both it is a local minimum, seen from the orientation y comes in.
    Rotations are about the centre of mass where the energy does not see translations, else about the origin. The centre of
    mass of y stays where it is, or goes with the rotation.

    Args:
        x, y: configurations, (B, N, d) each.
        moves: which are allowed.
        sweeps: exchanges and rotations in turn, at most; it ends when nothing changes places.

    Returns:
        (B, N, d).

    References:
        Kabsch, Acta Cryst. A 32, 922 (1976), doi:10.1107/S0567739476001873.
        Klein, Kraemer, Noe, NeurIPS 2023, arXiv:2306.15030.
    """
    centre = y.mean(1, keepdim=True) if moves.translations else torch.zeros_like(y[:, :1])
    if moves.translations:
        x, y = x - x.mean(1, keepdim=True), y - centre
    for sweep in range(sweeps):
        if moves.types is not None:
            order = match_particles(x, y, moves.types)
            if sweep and (order == torch.arange(order.shape[1], device=order.device)).all():
                break  # the rotation of the last sweep was already for this order
            y = reorder(y, order)
        if not moves.rotations:
            break
        y = rotate_onto(x, y, moves.reflections)
        if moves.types is None:
            break
    return y + centre


def rotate_onto(x: Float[Tensor, "B N d"], y: Float[Tensor, "B N d"], reflections: bool = False) -> Float[Tensor, "B N d"]:
    r"""Return y after the rotation about the origin that brings it nearest to x, (B, N, d).

    $R = U \,\mathrm{diag}(1, ..., \pm 1)\, V^T$ with $U S V^T = \sum_i x_i y_i^T$ (Kabsch); the sign keeps det R = 1 unless
    reflections are allowed, too.
    """
    u, _, v = torch.linalg.svd(x.mT @ y)
    if not reflections:
        u = torch.cat([u[..., :-1], u[..., -1:] * torch.linalg.det(u @ v)[:, None, None]], -1)
    return y @ (u @ v).mT


def match_particles(f: Float[Tensor, "B N K"], g: Float[Tensor, "B N K"], types: Int[Tensor, "N"]) -> Int[Tensor, "B N"]:
    r"""Return the exchange s within types of least $\sum_i |f_i - g_{s(i)}|^2$ for features of particles (Hungarian).

    Args:
        f, g: (B, N, K).
        types: (N,).

    Returns:
        s, (B, N) long.

    >>> f = torch.tensor([[[0.0], [1.0], [2.0]]])
    >>> match_particles(f, f[:, [1, 0, 2]], torch.tensor([0, 0, 1]))
    tensor([[1, 0, 2]])
    """
    from scipy.optimize import linear_sum_assignment

    order, types = torch.arange(f.shape[1]).repeat(len(f), 1), types.cpu()
    for kind in types.unique():
        own = torch.nonzero(types == kind).flatten()
        if len(own) < 2:
            continue
        near = (f[:, own] @ g[:, own].mT).cpu().numpy()  # the squares of the features are the same for every exchange
        columns = np.stack([linear_sum_assignment(m, maximize=True)[1] for m in near])
        order[:, own] = own[torch.from_numpy(columns)]
    return order.to(f.device)


def reorder(y: Float[Tensor, "B N d"], order: Int[Tensor, "B N"]) -> Float[Tensor, "B N d"]:
    """Return the particles of every configuration in an order of its own: (B, N, d), (B, N) -> (B, N, d)."""
    return y.gather(1, order[..., None].expand_as(y))


def surroundings(x: Float[Tensor, "B N d"]) -> Float[Tensor, "B N N"]:
    """Return distances of particles to all others, ascending, (B, N, d) -> (B, N, N); rotations and reflections keep them."""
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").sort(-1).values
