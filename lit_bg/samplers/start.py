"""Where walkers start."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy


def starting_points(energy: Energy, walkers: int, start: str) -> Tensor:
    """(walkers, *event_shape) configurations from `energy.initial`.

    Args:
        energy: the system.
        walkers: how many.
        start: "modes" goes round all initial configurations, one walker each; the name of a mode keeps to
            those that lie in it.

    Raises:
        ValueError: an energy without initial configurations, or no such mode.

    >>> from lit_bg.energies import DoubleWell
    >>> starting_points(DoubleWell(), 3, "modes")[:, 0].sign()
    tensor([-1.,  1., -1.])
    >>> starting_points(DoubleWell(), 3, "right")[:, 0].sign()
    tensor([1., 1., 1.])
    """
    initial = energy.initial
    if initial is None:
        raise ValueError(f"{type(energy).__name__} says nothing of where to start: define its `initial` configurations.")
    if start != "modes":
        modes = energy.modes
        names = () if modes is None else modes.names
        if modes is None or start not in names:
            raise ValueError(f"start={start!r} is no mode of {type(energy).__name__}: use 'modes' or one of {list(names)}.")
        initial = initial[modes.label(initial) == names.index(start)]
        if len(initial) == 0:
            raise ValueError(f"{type(energy).__name__} has no initial configuration in its mode {start!r}: use 'modes'.")
    return initial[torch.arange(walkers) % len(initial)].clone()
