"""Weights that give every metastable state a share of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def raise_shares(p: Float[Tensor, "*rows K"], least: Float[Tensor, "*rows K"]) -> Float[Tensor, "*rows K"]:
    r"""Lift the probabilities that are below a floor to it, and scale the others down in proportion.

    $s_m = \max(f_m, c\, p_m)$ with c such that $\sum_m s_m = 1$. Nothing is read by the host.

    Args:
        p: probabilities, (..., K), of any norm.
        least: floors f, (..., K), of sum one at most.

    Returns:
        shares s, (..., K), of sum one; zeros where all of p is zero.

    >>> raise_shares(torch.tensor([0.9, 0.08, 0.02]), torch.tensor([0.1, 0.1, 0.1]))
    tensor([0.8000, 0.1000, 0.1000])
    """
    tiny = torch.finfo(p.dtype).tiny
    low = torch.zeros_like(p, dtype=torch.bool)
    scaled = p
    for _ in range(p.shape[-1]):  # each turn lifts one more, at least
        rest = 1 - torch.where(low, least, 0.0).sum(-1, keepdim=True)
        scaled = p * (rest / torch.where(low, 0.0, p).sum(-1, keepdim=True).clamp_min(tiny))
        low = low | (scaled < least)
    s = torch.where(low, least, scaled)
    return torch.where(p.sum(-1, keepdim=True) > 0, s / s.sum(-1, keepdim=True).clamp_min(tiny), 0.0)


def balance(
    w: Float[Tensor, "*rows n"], label: Int[Tensor, "*rows n"], modes: int, least_share: float
) -> Float[Tensor, "*rows n"]:
    r"""Return weights in which every mode that has any holds a share of at least `least_share` of their sum, one.

    $w_i\, s_m / \sum_{j \in m} w_j$ for i in mode m, with the shares s of `raise_shares`. Within a mode weights keep their
    proportions. They no longer stand for the target $\pi$ but for $\sum_m s_m\, \pi(x | m)$, what is in no mode counting as one
    more without a floor. A mode of weight zero stays so.

    Args:
        w: weights, (..., n).
        label: mode of each, (..., n) from 0; -1: none.
        modes: how many there are.
        least_share: floor, between 0 and 1 / modes.

    >>> w = torch.tensor([0.49, 0.49, 0.01, 0.01])
    >>> balance(w, torch.tensor([0, 0, 1, 1]), 2, 0.5)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    tiny = torch.finfo(w.dtype).tiny
    which = torch.arange(-1, modes, device=w.device)  # no mode, and the modes
    held = (label[..., None] == which).to(w.dtype)  # (..., n, K + 1)
    p = (w[..., None] * held).sum(-2)
    least = torch.where((p > 0) & (which >= 0), least_share, 0.0).to(w.dtype)
    ratio = raise_shares(p, least) / p.clamp_min(tiny)
    return w * (held * ratio[..., None, :]).sum(-1)


def check_least_share(least_share: float, modes: tuple[str, ...] | None, owner: str, system: str) -> None:
    """Refuse a share that no mode, or not every mode, can have.

    Args:
        least_share: floor of the share of every mode.
        modes: their names; None where the system has none.
        owner, system: who asks and of what, for the message.

    Raises:
        ValueError: which number, the limit and the way out.
    """
    if modes is None:
        raise ValueError(
            f"{owner} gives every mode a share, and {system} knows no modes: leave least_share out, or name modes."
        )
    if not 0 < least_share <= (1 + 1e-9) / len(modes):
        raise ValueError(
            f"{owner} gives each of {len(modes)} modes of {system} a share of least_share, which must be above 0 and at most "
            f"{1 / len(modes):.3g}, got {least_share}."
        )
