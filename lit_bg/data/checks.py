"""Checks of single frames: the gradient against the energy, and frames that cannot be of the system."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.rng import stream
from lit_bg.spaces.domain import Kind

FRAMES = 64  # whose gradient is compared with differences of the energy
STEPS = (1e-6, 1e-5, 1e-4, 1e-3)  # in units of the width of the data; single precision needs the longer ones
MISMATCH = 5e-3  # of a directional derivative
FLOOR = 1e-4  # of the length of the gradient, for directions along which it is small
FEWEST_MISMATCHES = 2  # one may be a kink
BLOWN_UP = (30.0, 100.0)  # robust standard deviations, and [kT], above the median energy
CHUNK = 50_000


class Mismatch(NamedTuple):
    """Says where the gradient is not that of the energy."""

    frame: int  # of the flattened data
    gradient: float  # along a direction [kT per unit]
    difference: float  # of energies on both sides
    share: float  # of the comparisons that fail


def compare_gradient(energy: Energy, x: Tensor) -> Mismatch | None:
    r"""Compare $v \cdot \nabla u$ with $(u(x + h v) - u(x - h v)) / 2h$ on frames spread over the data; None where they agree.

    Dynamics with a wrong gradient samples something else, and may satisfy the virial identity of that very gradient. Directions
    are random, so that one wrong coordinate is seen; frames are spread over all walkers, so that one wrong well is. Of four
    lengths of the step the one that agrees best counts, so that single precision and stiff coordinates are not accused.
    Energies are not counted: a check is no energy call of the method. Those without a gradient are not compared, nor are
    systems on discrete states.

    Args:
        energy: the system.
        x: frames, (n, *shape).
    """
    if not energy.space.continuous:
        return None
    pick = torch.linspace(0, len(x) - 1, min(FRAMES, len(x))).long().unique()
    frames = x[pick].to(energy.device, torch.float64)
    rng = stream(0, "gradient")
    v = torch.randn(frames.shape, generator=rng, dtype=torch.float64).to(frames.device)
    v = (v.flatten(1) / v.flatten(1).norm(dim=1, keepdim=True)).reshape(v.shape)
    width = x.double().std(0).mean().item() or 1.0
    v = torch.where(_at_an_end(energy, frames, STEPS[-1] * width), 0.0, v)
    try:
        with torch.enable_grad():
            y = frames.clone().requires_grad_()
            (gradient,) = torch.autograd.grad((energy.potential(y) / energy.kT).sum(), y)
    except RuntimeError:  # not differentiable
        return None
    slope = (gradient * v).flatten(1).sum(1)
    allowed = MISMATCH * slope.abs() + FLOOR * gradient.flatten(1).norm(dim=1) + 1e-6
    best, closest = torch.full_like(slope, math.inf), torch.zeros_like(slope)
    with torch.no_grad():
        for step in STEPS:
            h = step * width
            up, down = (energy.potential(frames + sign * h * v).double() / energy.kT for sign in (1, -1))
            difference = (up - down) / (2 * h)
            off = (difference - slope).abs()
            closest = torch.where(off < best, difference, closest)
            best = torch.minimum(best, off.nan_to_num(math.inf))
    wrong = (best > allowed) & slope.isfinite()
    if int(wrong.sum()) < min(FEWEST_MISMATCHES, len(frames)):
        return None
    k = int(torch.where(wrong, best / allowed, 0.0).argmax())
    return Mismatch(int(pick[k]), slope[k].item(), closest[k].item(), wrong.double().mean().item())


def _at_an_end(energy: Energy, x: Tensor, reach: float) -> Tensor:
    """Return the coordinates on intervals that a step would leave."""
    domain, flat = energy.space.domain, x.flatten(1)
    bounded = (domain.kinds == Kind.BOUNDED).to(x.device)
    inside = (flat - reach > domain.lower.to(x)) & (flat + reach < domain.upper.to(x))
    return (bounded & ~inside).reshape(x.shape)


def find_bad_frames(energy: Energy, x: Tensor, u: Tensor) -> dict[str, dict[str, Any]]:
    """Find frames that cannot be of the system, by what is wrong: how many, and the first.

    Every frame is asked: its energy, which thermal motion does not lift by 100 kT and thirty robust standard deviations above
    the median; whatever `Energy.find_faults` knows; and whether it lies in the region of the target.

    Args:
        energy: the system.
        x: frames (T, W, *shape).
        u: reduced energies (T, W) [kT].

    Returns:
        for every phrase that some frame answers to: count, and frame and walker of the first.
    """
    frames = len(u)
    flat = x.transpose(0, 1).reshape(-1, *energy.space.shape)
    energies = u.transpose(0, 1).flatten().double()
    median = energies.median()
    spread = 1.4826 * (energies - median).abs().median()
    limit = median + max(BLOWN_UP[0] * spread.item(), BLOWN_UP[1] + 10 * math.sqrt((energy.space.dof or energy.space.dim) / 2))
    masks: dict[str, list[Tensor]] = {}
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK].to(energy.device)
        found = {name: mask.cpu() for name, mask in energy.find_faults(part).items()}
        values = ~energy.space.contains(part).cpu()
        if values.any():
            found["values that no configuration has"] = values
        unexplained = ~energy.in_region(part).cpu()
        for mask in found.values():
            unexplained &= ~mask
        found["a place outside the region that the target covers"] = unexplained
        for name, mask in found.items():
            masks.setdefault(name, []).append(start + torch.nonzero(mask).flatten())
    bad = {name: torch.cat(indices) for name, indices in masks.items()}
    bad[f"an energy more than {limit - median:.3g} kT above the median"] = torch.nonzero(energies > limit).flatten()
    return {
        name: {"count": len(index), "frame": int(index[0]) % frames, "walker": int(index[0]) // frames}
        for name, index in bad.items()
        if len(index)
    }
