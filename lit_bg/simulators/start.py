"""Starting configurations of walkers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lit_bg.activity import doing
from lit_bg.energies.base import Energy
from lit_bg.rng import stream
from lit_bg.simulators.minimise import minimise

AT_ONCE = 8192  # configurations


def starting_points(energy: Energy, walkers: int, start: str, seed: int = 0) -> Tensor:
    """Return (walkers, *shape) configurations from `energy.initial`.

    Args:
        energy: the system.
        walkers: how many.
        start: "modes" goes round all initial configurations, one walker each; "initial" takes the first for all; the name of
            a mode keeps to those that lie in it; "torsions" draws the backbone torsions of a molecule uniformly.
        seed: of the torsions.

    Raises:
        ValueError: an energy without initial configurations, or no such mode, or no backbone.

    >>> from lit_bg.energies import DoubleWell
    >>> starting_points(DoubleWell(), 3, "modes")[:, 0].sign()
    tensor([-1.,  1., -1.])
    >>> starting_points(DoubleWell(), 3, "right")[:, 0].sign()
    tensor([1., 1., 1.])
    """
    if start == "torsions":
        return energy.start_from_torsions(walkers, stream(seed, "start"))
    initial = energy.initial
    if initial is None:
        raise ValueError(f"{type(energy).__name__} says nothing of where to start: define its `initial` configurations.")
    if start == "initial":
        initial = initial[:1]
    elif start != "modes":
        modes = energy.modes
        names = () if modes is None else modes.names
        if modes is None or start not in names:
            raise ValueError(f"start={start!r} is no mode of {type(energy).__name__}: use 'modes' or one of {list(names)}.")
        initial = initial[modes.label(initial) == names.index(start)]
        if len(initial) == 0:
            raise ValueError(f"{type(energy).__name__} has no initial configuration in its mode {start!r}: use 'modes'.")
    return initial[torch.arange(walkers) % len(initial)].clone()


def place_walkers(energy: Energy, x: Tensor, relax: bool, report: Callable[[str], None]) -> Tensor:
    """Return starts (W, *shape) from which a simulation can begin: with finite energies, centred, and clashes removed.

    Args:
        energy: the system.
        x: where walkers should start.
        relax: whether particles are minimised first, since forces of a clash are too large for any time step.
        report: is told what takes time.

    Raises:
        ValueError: starts without a finite energy, or that all leave the region of the target when clashes are removed.
    """
    with torch.no_grad():
        finite = torch.isfinite(torch.cat([energy(part) for part in x.split(AT_ONCE)]))
    if not finite.all():
        raise ValueError(
            f"{int((~finite).sum())} of {len(x)} starts of {type(energy).__name__} have no finite energy: "
            "give it other `initial` configurations, or start: initial."
        )
    x = energy.space.project(x)
    space = energy.space
    if not (relax and (space.centred or space.cell is not None or energy.structure is not None)):
        return x
    report("minimising")
    with doing(f"minimising {len(x)} starts"):
        x = energy.space.project(minimise(energy, x))
    wrong = ~energy.in_region(x)
    if wrong.all():
        raise ValueError("every start left the region that the target covers when it was minimised: use start: initial.")
    if wrong.any():  # these walkers begin where others do, and part from them by their noise
        right = torch.nonzero(~wrong).flatten()
        x[wrong] = x[right[torch.arange(int(wrong.sum()), device=x.device) % len(right)]]
    return x
