"""Minimisation that removes clashes from starting configurations, all at once."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy

ENOUGH = 0.1  # [kT per degree of freedom]: when no walker gained more in the last steps, dynamics may begin


def minimise(energy: Energy, x: Tensor, steps: int = 500) -> Tensor:
    r"""Minimise by steepest descent, $x' = x - h \nabla u / \max_i |\nabla_i u|$, with a step h of every walker's own.

    A step that lowers the energy is taken and h grows by a fifth; one that does not is not, and h halves. So the energy
    never rises, and no coordinate moves further than h, however hard the clash. The first h is a hundredth of the spread
    of the coordinates. It ends when the last 20 steps gained no walker more than 0.1 kT per degree of freedom.

    Args:
        energy: the system.
        x: (B, *shape), with finite energies.
        steps: at most; one gradient each.

    Returns:
        configurations near a minimum, of the shape and type of x.
    """
    shape = (-1, *[1] * (x.ndim - 1))
    h = 0.01 * x.flatten(1).std(-1)
    u, g = energy.value_and_gradient(x)
    before = u
    for step in range(1, steps + 1):
        steepest = g.flatten(1).abs().amax(-1).clamp_min(torch.finfo(g.dtype).tiny)
        new = x - (h / steepest).reshape(shape) * g
        new_u, new_g = energy.value_and_gradient(new)
        lower = new_u < u  # false where it is NaN
        x, g = (torch.where(lower.reshape(shape), a, b) for a, b in ((new, x), (new_g, g)))
        u, h = torch.where(lower, new_u, u), torch.where(lower, 1.2 * h, 0.5 * h)
        if step % 20 == 0:
            if (before - u).max() < ENOUGH * energy.space.dof:
                break
            before = u
    return x
