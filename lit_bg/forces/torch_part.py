"""Forces that torch evaluates, by closed forms where they have one, else by autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Force, Frame
from lit_bg.forces.closed_forms import ClosedForms, has_closed_form


class Sum(nn.Module):
    """Sums all forces over one chunk in plain differentiable torch: (N, 3, b) -> (b,) float64."""

    box: Tensor | None

    def __init__(self, forces: list[Force], box: Tensor | None) -> None:
        super().__init__()
        self.forces = nn.ModuleList(forces)
        self.register_buffer("box", box, persistent=False)
        self.all_pairs = any(f.needs_pairs for f in forces)

    def frame(self, x: Tensor) -> Frame:
        """Return configurations as forces see them."""
        return Frame(x, self.box, self.all_pairs)

    def forward(self, x: Tensor) -> Tensor:
        frame = self.frame(x)
        energy = x.new_zeros(x.shape[-1], dtype=torch.float64)
        for force in self.forces:
            energy = energy + force.energy(frame)  # type: ignore[operator]
        return energy


class TorchPart(nn.Module):
    """Evaluates some forces with their gradient in the quickest way that torch has: (N, 3, b) -> (b,) float64, (N, 3, b).

    Args:
        forces: those that are evaluated.
        n: number of atoms.
        box: (3, 3) [nm]; None without a box.
        closed: whether closed forms are used.
    """

    def __init__(self, forces: list[Force], n: int, box: Tensor | None, closed: bool = True) -> None:
        super().__init__()
        with_closed_form = [f for f in forces if closed and has_closed_form(f)]
        others = [f for f in forces if not any(f is g for g in with_closed_form)]
        self.sum = Sum(forces, box)
        self.closed = ClosedForms(with_closed_form, n, box) if with_closed_form else None
        self.others = Sum(others, box) if others else None

    def with_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return energies and their gradient, detached."""
        return self._add(x, by_autograd)

    def in_one_graph(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same by transforms, for compilation: nothing is handed from a forward to a backward pass.

        Compiled apart, the first pass writes arrays of all pairs for the second to read. With torch.autograd.grad in its
        place, the gradient of a compiled function was seen to come out as zero (torch 2.13).
        """
        return self._add(x, by_transform)

    def _add(self, x: Tensor, differentiate: Callable[[Sum, Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        if self.closed is None:
            return differentiate(self.sum, x)
        energy, gradient = self.closed(x)
        if self.others is not None:
            of_others, gradient_of_others = differentiate(self.others, x)
            energy, gradient = energy + of_others, gradient + gradient_of_others
        return energy, gradient


def by_autograd(own: Sum, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return energies (b,) and their gradient (N, 3, b), detached."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        energy = own(x)
        if not len(own.forces):
            return energy, torch.zeros_like(x)
        (gradient,) = torch.autograd.grad(energy.sum(), x)
    return energy.detach(), gradient


def by_transform(own: Sum, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same by torch.func, which compiled code can hold."""

    def energies(x: Tensor) -> tuple[Tensor, Tensor]:
        energy = own(x)
        return energy.sum(), energy

    gradient, (_, energy) = torch.func.grad_and_value(energies, has_aux=True)(x)
    return energy, gradient
