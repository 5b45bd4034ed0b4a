"""The choice of two coordinates of a system worth looking at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.figures.configurations import Plane
from lit_bg.figures.style import as_drawn, with_unit

GRID = 120  # energies per axis of a plane


def in_plane(energy: Energy, x: Tensor) -> Tensor:
    """Return the two coordinates that are drawn, (B, 2) float64, as they are drawn.

    A pair of angles (the Ramachandran plane of a peptide) where the system has them; otherwise the first two
    coordinates; beside a single coordinate, the energy.
    """
    angles = [o for o in energy.observables.values() if o.periodic][:2]
    if len(angles) == 2:
        return torch.stack([as_drawn(o.function(x), o.unit) for o in angles], -1).double()
    flat = x.flatten(1)
    if flat.shape[1] >= 2:
        return flat[:, :2].double()
    return torch.cat([flat, energy.potential(x)[:, None] / energy.kT], -1).double()


def find_plane(energy: Energy, target: np.ndarray | None, proposals: Tensor, device: torch.device | str = "cpu") -> Plane:
    """Return names and extent of the plane, with the energy on a grid where the system has no other coordinates."""
    angles = [(name, o) for name, o in energy.observables.items() if o.periodic][:2]
    if len(angles) == 2:
        names = [with_unit(name, o.unit) for name, o in angles]
        ranges = [[as_drawn(end, o.unit) for end in o.range or (-np.pi, np.pi)] for _, o in angles]
        return Plane((names[0], names[1]), (*ranges[0], *ranges[1]))
    box = energy.box
    names = ["x1", "x2"] if energy.space.dim >= 2 else ["x", "u [kT]"]
    if box is None or energy.space.dim < 2:
        shown = proposals[proposals.isfinite().all(-1)].numpy() if target is None else target
        low, high = np.quantile(shown, [0.001, 0.999], axis=0) if len(shown) else (np.zeros(2), np.ones(2))
        margin = 0.1 * (high - low) + 1e-3
        low, high = low - margin, high + margin
    else:
        low, high = box.flatten(1)[:, :2].cpu().double().numpy()
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    u = None
    if energy.space.shape == (2,):
        x, y = torch.linspace(extent[0], extent[1], GRID), torch.linspace(extent[2], extent[3], GRID)
        grid = torch.cartesian_prod(x, y).to(device)
        with torch.no_grad():
            u = (energy.potential(grid) / energy.kT).reshape(GRID, GRID).T.cpu().double().numpy()
    return Plane((names[0], names[1]), extent, u)
