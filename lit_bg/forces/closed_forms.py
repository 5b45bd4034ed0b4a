"""Energies and gradients of forces that have closed forms, without autograd."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_bg.forces.base import Bonded, Force, total
from lit_bg.forces.born import Born
from lit_bg.forces.custom_nonbonded import CustomNonbonded
from lit_bg.forces.nonbonded import Nonbonded
from lit_bg.forces.unordered_pairs import Pairs


class ClosedForms(nn.Module):
    """Sums the forces that have closed forms, and their gradients: (N, 3, b) -> (b,) float64 and (N, 3, b).

    Pair forces share one array of squared distances and add up what pushes two atoms apart, so that the gradient is one sum
    over pairs, whatever the number of forces. Gradients of bonded terms are rows, three numbers for each atom of each term,
    which are added to those of the atoms all at once.

    Args:
        forces: all of them are evaluated: those for which `has_closed_form`.
        n: number of atoms.
        box: (3, 3) [nm]; None without a box.
    """

    box: Tensor | None
    rows: Tensor  # atoms that the gradients of bonded terms belong to

    def __init__(self, forces: list[Force], n: int, box: Tensor | None) -> None:
        super().__init__()
        self.n = n
        self.register_buffer("box", box, persistent=False)
        bonded = [f for f in forces if isinstance(f, Bonded)]
        bonded += [f.apart for f in forces if isinstance(f, Nonbonded) and f.apart is not None]
        self.bonded = nn.ModuleList(bonded)
        of_pairs = [f for f in forces if isinstance(f, (Nonbonded, CustomNonbonded))]
        of_radii = [f for f in forces if isinstance(f, Born)]
        self.has_pairs = bool(of_pairs or of_radii)
        self.pairs = Pairs(n if self.has_pairs else 0)
        self.of_pairs = nn.ModuleList(f.on(self.pairs) for f in of_pairs)
        self.of_radii = nn.ModuleList(f.on(self.pairs) for f in of_radii)
        rows = torch.cat([f.atoms.T.flatten() for f in bonded] or [torch.zeros(0, dtype=torch.long)])
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        energy, gradient = x.new_zeros(x.shape[-1], dtype=torch.float64), torch.zeros_like(x)
        if len(self.bonded):
            energy, gradient = self._bonded(x)
        if self.has_pairs:
            of_pairs, gradient_of_pairs = self._pairs(x)
            energy, gradient = energy + of_pairs, gradient + gradient_of_pairs
        return energy, gradient

    def _pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        d = self.pairs.differences(x, self.box)
        r2 = d.square().sum(2)
        energy, push, values = x.new_zeros(x.shape[-1], dtype=torch.float64), torch.zeros_like(r2), torch.zeros_like(r2)
        for form in self.of_pairs:
            value, own = form(r2)
            values, push, energy = values + value, push + own, energy + form.tail  # type: ignore[operator]
        for form in self.of_radii:
            of_atoms, value, own = form(r2)
            values, push, energy = values + value, push + own, energy + total(of_atoms)
        force = push[:, :, None] * d
        return energy + total(self.pairs.weight * values), -self.pairs.to_atoms(force, -force)

    def _bonded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        energy, rows = x.new_zeros(x.shape[-1], dtype=torch.float64), []
        for force in self.bonded:
            terms, gradients = force.closed_form(*x[force.atoms].unbind(1))  # type: ignore[operator, index]
            energy = energy + total(terms) + force.constant_energy()  # type: ignore[operator]
            rows += gradients
        return energy, torch.zeros_like(x).index_add(0, self.rows, torch.cat(rows))


def has_closed_form(force: Force) -> bool:
    """Say whether a force is one that `ClosedForms` evaluates."""
    if isinstance(force, Bonded):
        return not force.periodic
    return isinstance(force, (Nonbonded, Born, CustomNonbonded))
