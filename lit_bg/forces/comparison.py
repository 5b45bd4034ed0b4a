"""Comparison of energies and forces of compiled code with those of eager code, up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lit_bg.compiling import DISAGREEMENT

LOST_DIGITS = 1e3  # epsilons that a force may lose in its sums, of its size and of its energy
LAST_PLACES = 16  # epsilons by which rounding moves coordinates, counted generously
MOVES = 4  # of one, little may come by chance
SHAKEN = 0.005  # [nm] as far as thermal bonds vibrate: no forces vanish there

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]


def compare_forces(own: Any, x: Tensor, compiled: Gradient, eager: Gradient) -> tuple[Tensor, Tensor]:
    """Say which configurations have finite energies and forces, (b,), and for which of them compiled code is wrong, (b,).

    Args:
        own: the sum of the forces.
        x: configurations, (N, 3, b).
        compiled, eager: what gives its energies (b,) and their gradient (N, 3, b).
    """
    energy, gradient = compiled(x)
    right_energy, right = eager(x)
    fine = right_energy.isfinite() & right.isfinite().flatten(0, 1).all(0)
    of_energy, of_gradient = estimate_rounding(own, x, eager)
    agrees = (gradient - right).flatten(0, 1).norm(dim=0) <= DISAGREEMENT * right.flatten(0, 1).norm(dim=0) + of_gradient
    agrees &= (energy - right_energy).abs() <= DISAGREEMENT * right_energy.abs() + of_energy
    return fine, fine & ~agrees  # NaN agrees with nothing


def estimate_rounding(own: Any, x: Tensor, eager: Gradient) -> tuple[Tensor, Tensor]:
    """Return how far rounding alone may move the energy, (b,), and the norm of the gradient, (b,), of configurations (N, 3, b).

    Near a minimum the forces cancel, and what is left of them says nothing of their digits: those are lost in proportion to
    the single forces, each in sums of some hundred terms; energies that cancel are no different. Where single forces vanish
    too, at the rest length of a bond, it is the rounding of coordinates that is left: what some units in their last place do
    is looked at.
    """
    eps = torch.finfo(x.dtype).eps
    energies, gradients = x.new_zeros(x.shape[-1], dtype=torch.float64), x.new_zeros(x.shape[-1])
    for force in own.forces:
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            energy = force.energy(own.frame(y))
            gradient = torch.autograd.grad(energy.sum(), y, allow_unused=True)[0] if energy.requires_grad else None
        energies = energies + energy.detach().abs()
        if gradient is not None:
            gradients = gradients + gradient.flatten(0, 1).norm(dim=0)
    energies, gradients = LOST_DIGITS * eps * energies, LOST_DIGITS * eps * gradients
    energy, gradient = eager(x)
    for seed in range(MOVES):
        moved_energy, moved = eager(x + LAST_PLACES * eps * x.abs().amax((0, 1)) * _noise(x, seed))
        energies = energies + (moved_energy - energy).abs()
        gradients = gradients + (moved - gradient).flatten(0, 1).norm(dim=0)
    return energies, gradients


def shake(x: Tensor) -> Tensor:
    """Move configurations off their minima as far as thermal bonds vibrate: at a minimum, zero forces would be right too."""
    return x + SHAKEN * _noise(x, 0)


def _noise(x: Tensor, seed: int) -> Tensor:
    """Return the same normal numbers every time."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, generator=rng, dtype=x.dtype, device="cpu").to(x.device)
