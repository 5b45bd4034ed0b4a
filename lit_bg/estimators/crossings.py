"""Counts of walkers' passages from one mode to another."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def count_entries(label: Int[Tensor, "T W"], modes: int) -> Int[Tensor, "K"]:
    """Count how often walkers enter each mode from another one, (modes,) long.

    Where a walker begins is no entry. A frame in no mode (-1) does not end a stay: a walker that leaves and comes back before
    it reaches another mode has not crossed.

    Args:
        label: modes of the frames, (T, W), in order of time; -1: none.
        modes: how many there are.

    >>> count_entries(torch.tensor([[0], [-1], [0], [-1], [1], [1], [0]]), 2).tolist()
    [1, 1]
    """
    time = torch.arange(len(label), device=label.device)[:, None].expand_as(label)
    last = torch.cummax(torch.where(label >= 0, time, -1), 0).values  # the latest frame in a mode
    held = torch.where(last >= 0, label.gather(0, last.clamp_min(0)), -1)
    entered = (held[1:] != held[:-1]) & (held[:-1] >= 0)
    return torch.bincount(held[1:][entered], minlength=modes)
